//! Handles that nobody gave: what a component can say where its language's bindings would not let it.

/// The functions of `spillway:tensor/tensors` as the component model has them for a guest: handles are numbers.
#[cfg(target_family = "wasm")]
mod raw {
    #[link(wasm_import_module = "spillway:tensor/tensors@0.1.0")]
    #[allow(unsafe_code, reason = "whatever its numbers, the host has to bear them: this is what is tried")]
    unsafe extern "C" {
        #[link_name = "[method]tensor.byte-length"]
        pub(super) safe fn byte_length(handle: u32) -> u64;

        #[link_name = "[resource-drop]tensor"]
        pub(super) safe fn drop(handle: u32);

        #[link_name = "[static]tensor.create"]
        safe fn create(
            dtype: u32,
            shape: *const u32,
            axes: usize,
            data: *const u8,
            bytes: usize,
            result: *mut [u32; 4],
        );
    }

    /// The number of a new tensor's handle: a scalar of `uint8`.
    pub(super) fn tensor() -> u32 {
        const UINT8: u32 = 7;
        let (shape, data, mut result) = ([0], [1], [0; 4]);
        create(UINT8, shape.as_ptr(), 0, data.as_ptr(), data.len(), &raw mut result);
        assert_eq!(result[0] & 0xff, 0, "there is room for it");
        result[1]
    }
}

/// Natively there is no host; the crate only has to compile.
#[cfg(not(target_family = "wasm"))]
mod raw {
    pub(super) fn byte_length(_: u32) -> u64 {
        0
    }

    pub(super) fn drop(_: u32) {}

    pub(super) fn tensor() -> u32 {
        0
    }
}

/// The bytes of the tensor that this handle is, if it is one.
pub(crate) fn length(handle: u32) -> String {
    format!("{}\n", raw::byte_length(handle))
}

/// A handle of a tensor that there was.
pub(crate) fn stale() -> String {
    let handle = raw::tensor();
    raw::drop(handle);
    length(handle)
}

/// One that is dropped twice.
pub(crate) fn twice() -> String {
    let handle = raw::tensor();
    raw::drop(handle);
    raw::drop(handle);
    "dropped twice\n".into()
}

/// One that is there.
pub(crate) fn own() -> String {
    let handle = raw::tensor();
    let length = length(handle);
    raw::drop(handle);
    length
}
