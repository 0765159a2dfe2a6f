//! Element types as Rust knows them, and how numbers pass from one to another.

use tract_onnx::prelude::{Datum, f16};

use crate::DType;

/// What stands for `float16`, under a name that the compiler does not keep for itself.
pub(crate) type Half = f16;

/// A Rust type that is the element of a tensor.
pub(crate) trait Element: Datum + Copy + Default + PartialEq + PartialOrd {
    /// Its name.
    const DTYPE: DType;
    /// As WebNN and NumPy see it: whether it is not 0.
    fn is_true(self) -> bool;
    /// The nearest `f64`.
    fn to_f64(self) -> f64;
    /// The nearest value to `x` that is towards 0 and in range; of NaN, 0 or NaN.
    fn from_f64(x: f64) -> Self;
}

/// Conversion by value: saturating between integers, towards 0 and saturating from floats to integers, to the nearest
/// else. To `boolean` anything but 0 is 1, and NaN is not 0, as in NumPy.
pub(crate) trait Cast<T> {
    fn cast(self) -> T;
}

macro_rules! elements {
    ($($T:ty, $dtype:ident, $is_true:expr, $to:expr, $from:expr;)*) => {$(
        impl Element for $T {
            const DTYPE: DType = DType::$dtype;
            #[inline]
            fn is_true(self) -> bool {
                ($is_true)(self)
            }
            #[inline]
            fn to_f64(self) -> f64 {
                ($to)(self)
            }
            #[inline]
            fn from_f64(x: f64) -> Self {
                ($from)(x)
            }
        }
        impl Cast<bool> for $T {
            #[inline]
            fn cast(self) -> bool {
                self.is_true()
            }
        }
    )*};
}

elements! {
    f16, Float16, |x: f16| x != f16::ZERO, f16::to_f64, f16::from_f64;
    f32, Float32, |x| x != 0.0, f64::from, |x| x as f32;
    f64, Float64, |x| x != 0.0, |x| x, |x| x;
    i8, Int8, |x| x != 0, f64::from, |x| x as i8;
    i16, Int16, |x| x != 0, f64::from, |x| x as i16;
    i32, Int32, |x| x != 0, f64::from, |x| x as i32;
    i64, Int64, |x| x != 0, |x| x as f64, |x| x as i64;
    u8, Uint8, |x| x != 0, f64::from, |x| x as u8;
    u16, Uint16, |x| x != 0, f64::from, |x| x as u16;
    u32, Uint32, |x| x != 0, f64::from, |x| x as u32;
    u64, Uint64, |x| x != 0, |x| x as f64, |x| x as u64;
    bool, Boolean, |x| x, |x| f64::from(u8::from(x)), |x| x != 0.0;
}

macro_rules! casts_to_floats {
    ($($T:ty),*) => {$(
        impl Cast<f32> for $T {
            #[inline]
            fn cast(self) -> f32 {
                self as f32
            }
        }
        impl Cast<f64> for $T {
            #[inline]
            fn cast(self) -> f64 {
                self as f64
            }
        }
        impl Cast<f16> for $T {
            #[inline]
            fn cast(self) -> f16 {
                // Through `f64`, which holds all 64-bit integers that `f16` can tell apart.
                f16::from_f64(self as f64)
            }
        }
        impl Cast<$T> for f16 {
            #[inline]
            fn cast(self) -> $T {
                self.to_f32() as $T
            }
        }
        impl Cast<$T> for bool {
            #[inline]
            fn cast(self) -> $T {
                u8::from(self) as $T
            }
        }
    )*};
}

casts_to_floats!(f32, f64, i8, i16, i32, i64, u8, u16, u32, u64);

impl Cast<f16> for f16 {
    #[inline]
    fn cast(self) -> f16 {
        self
    }
}

impl Cast<f16> for bool {
    #[inline]
    fn cast(self) -> f16 {
        if self { f16::ONE } else { f16::ZERO }
    }
}

macro_rules! casts_to_integers {
    ($from:ty => $($T:ty),*) => {$(
        impl Cast<$T> for $from {
            #[inline]
            fn cast(self) -> $T {
                // `i128` holds all of both; the optimiser narrows it to what the types need.
                (self as i128).clamp(<$T>::MIN as i128, <$T>::MAX as i128) as $T
            }
        }
    )*};
    (floats $from:ty => $($T:ty),*) => {$(
        impl Cast<$T> for $from {
            #[inline]
            fn cast(self) -> $T {
                self as $T
            }
        }
    )*};
}

casts_to_integers!(i8 => i8, i16, i32, i64, u8, u16, u32, u64);
casts_to_integers!(i16 => i8, i16, i32, i64, u8, u16, u32, u64);
casts_to_integers!(i32 => i8, i16, i32, i64, u8, u16, u32, u64);
casts_to_integers!(i64 => i8, i16, i32, i64, u8, u16, u32, u64);
casts_to_integers!(u8 => i8, i16, i32, i64, u8, u16, u32, u64);
casts_to_integers!(u16 => i8, i16, i32, i64, u8, u16, u32, u64);
casts_to_integers!(u32 => i8, i16, i32, i64, u8, u16, u32, u64);
casts_to_integers!(u64 => i8, i16, i32, i64, u8, u16, u32, u64);
casts_to_integers!(floats f32 => i8, i16, i32, i64, u8, u16, u32, u64);
casts_to_integers!(floats f64 => i8, i16, i32, i64, u8, u16, u32, u64);

/// Evaluates `$body` with `$T` standing for the Rust type of `$dtype`. With a list of types in front only those are
/// compiled, and `$other` is for the rest.
macro_rules! with_dtype {
    (floats $dtype:expr, $T:ident => $body:expr, else $other:expr) => {
        with_dtype!(@ $dtype, $T => $body, $other; Float16 $crate::element::Half, Float32 f32, Float64 f64)
    };
    (integers $dtype:expr, $T:ident => $body:expr, else $other:expr) => {
        with_dtype!(@ $dtype, $T => $body, $other; Int8 i8, Int16 i16, Int32 i32, Int64 i64, Uint8 u8, Uint16 u16,
            Uint32 u32, Uint64 u64)
    };
    (numbers $dtype:expr, $T:ident => $body:expr, else $other:expr) => {
        with_dtype!(@ $dtype, $T => $body, $other; Float16 $crate::element::Half, Float32 f32, Float64 f64, Int8 i8, Int16 i16, Int32 i32,
            Int64 i64, Uint8 u8, Uint16 u16, Uint32 u32, Uint64 u64)
    };
    (@ $dtype:expr, $T:ident => $body:expr, $other:expr; $($name:ident $type:ty),*) => {
        match $dtype {
            $($crate::DType::$name => {
                type $T = $type;
                $body
            })*
            #[allow(unreachable_patterns, reason = "some lists are complete")]
            _ => $other,
        }
    };
    ($dtype:expr, $T:ident => $body:expr) => {
        with_dtype!(@ $dtype, $T => $body, unreachable!("the list is complete"); Float16 $crate::element::Half, Float32 f32, Float64 f64,
            Int8 i8, Int16 i16, Int32 i32, Int64 i64, Uint8 u8, Uint16 u16, Uint32 u32, Uint64 u64, Boolean bool)
    };
}
pub(crate) use with_dtype;
