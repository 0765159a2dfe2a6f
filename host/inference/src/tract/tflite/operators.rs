//! The operators that work: those that tract 0.23.9 reads, less what it reads wrongly. `tests/data/tflite/make.py` makes
//! a model of each and has the reference interpreter compute it; a test holds the list, the docs and tract together.

use tract_tflite::tflite::{BuiltinOperator, OperatorCode};

/// Operators on floats, integers and truth values. Not among them, though tract reads them: `MEAN`, whose means it rounds to
/// whole numbers, and `SHAPE`, which it gives another type than the file says.
pub(super) const KNOWN: &[BuiltinOperator] = &[
    BuiltinOperator::ABS,
    BuiltinOperator::ADD,
    BuiltinOperator::AVERAGE_POOL_2D,
    BuiltinOperator::BATCH_MATMUL,
    BuiltinOperator::BROADCAST_TO,
    BuiltinOperator::CEIL,
    BuiltinOperator::CONCATENATION,
    BuiltinOperator::CONV_2D,
    BuiltinOperator::COS,
    BuiltinOperator::DEPTHWISE_CONV_2D,
    BuiltinOperator::DIV,
    BuiltinOperator::EQUAL,
    BuiltinOperator::EXP,
    BuiltinOperator::EXPAND_DIMS,
    BuiltinOperator::FLOOR,
    BuiltinOperator::FULLY_CONNECTED,
    BuiltinOperator::GREATER,
    BuiltinOperator::GREATER_EQUAL,
    BuiltinOperator::HARD_SWISH,
    BuiltinOperator::LEAKY_RELU,
    BuiltinOperator::LESS,
    BuiltinOperator::LESS_EQUAL,
    BuiltinOperator::LOG,
    BuiltinOperator::LOGICAL_AND,
    BuiltinOperator::LOGICAL_NOT,
    BuiltinOperator::LOGICAL_OR,
    BuiltinOperator::LOGISTIC,
    BuiltinOperator::MAXIMUM,
    BuiltinOperator::MAX_POOL_2D,
    BuiltinOperator::MINIMUM,
    BuiltinOperator::MUL,
    BuiltinOperator::NOT_EQUAL,
    BuiltinOperator::PAD,
    BuiltinOperator::PADV2,
    BuiltinOperator::REDUCE_MAX,
    BuiltinOperator::REDUCE_MIN,
    BuiltinOperator::REDUCE_PROD,
    BuiltinOperator::RELU,
    BuiltinOperator::RELU6,
    BuiltinOperator::RESHAPE,
    BuiltinOperator::RESIZE_BILINEAR,
    BuiltinOperator::RESIZE_NEAREST_NEIGHBOR,
    BuiltinOperator::RSQRT,
    BuiltinOperator::SELECT,
    BuiltinOperator::SELECT_V2,
    BuiltinOperator::SIN,
    BuiltinOperator::SLICE,
    BuiltinOperator::SOFTMAX,
    BuiltinOperator::SQRT,
    BuiltinOperator::SQUARE,
    BuiltinOperator::SQUEEZE,
    BuiltinOperator::STRIDED_SLICE,
    BuiltinOperator::SUB,
    BuiltinOperator::SUM,
    BuiltinOperator::TANH,
    BuiltinOperator::TRANSPOSE,
];

/// Those of them that also take quantised tensors.
pub(super) const QUANTISED: &[BuiltinOperator] = &[
    BuiltinOperator::CONV_2D,
    BuiltinOperator::DEPTHWISE_CONV_2D,
    BuiltinOperator::MAX_POOL_2D,
    BuiltinOperator::RESHAPE,
];

/// Which builtin operator it is, as the runtimes read it: the older field, unless that says to read the newer one.
pub(super) fn builtin(code: &OperatorCode<'_>) -> BuiltinOperator {
    let older = BuiltinOperator(code.deprecated_builtin_code().into());
    if older == BuiltinOperator::PLACEHOLDER_FOR_GREATER_OP_CODES { code.builtin_code() } else { older }
}

/// As messages name it: `CONV_2D`, or a custom operator's own name.
pub(super) fn name(code: &OperatorCode<'_>) -> String {
    let builtin = builtin(code);
    match builtin.variant_name() {
        Some("CUSTOM") => format!("{} (custom)", code.custom_code().unwrap_or("without a name")),
        Some(name) => name.into(),
        None => format!("number {}", builtin.0),
    }
}
