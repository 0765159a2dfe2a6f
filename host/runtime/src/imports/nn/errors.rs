//! `wasi:nn/errors`: what went wrong, as a resource.

use spillway_inference::{LoadError, OpenError, RunError};
use wasmtime::component::Resource;

use crate::imports::bindings::nn::wasi::nn::errors::{ErrorCode, Host, HostError};
use crate::imports::bindings::tensor::spillway::tensor::tensors;
use crate::sandbox::SandboxState;

/// An error that the guest may ask about.
#[derive(Clone, Debug)]
#[expect(unreachable_pub, reason = "the generated bindings re-export it")]
pub struct NnError {
    code: ErrorCode,
    message: String,
}

impl NnError {
    pub(super) fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// Says what it is about.
    pub(super) fn of(self, subject: impl std::fmt::Display) -> Self {
        Self { message: format!("{subject}: {}", self.message), ..self }
    }

    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::InvalidArgument, message)
    }
}

impl From<RunError> for NnError {
    fn from(error: RunError) -> Self {
        let code = match &error {
            RunError::InvalidArgument(_) => ErrorCode::InvalidArgument,
            RunError::DeadlineExceeded => ErrorCode::Timeout,
            RunError::EngineFailed(_) | RunError::LoadFailed(_) => ErrorCode::RuntimeError,
            RunError::TooMuchMemory { .. } | RunError::OutOfMemory(_) => ErrorCode::TooLarge,
        };
        Self::new(code, error.to_string())
    }
}

impl From<OpenError> for NnError {
    fn from(error: OpenError) -> Self {
        let code = match &error {
            OpenError::Load { cause: LoadError::NotAModel(_), .. } => ErrorCode::InvalidEncoding,
            OpenError::Load { cause: LoadError::Unsupported(_), .. } => ErrorCode::UnsupportedOperation,
            OpenError::Load { cause: LoadError::Specialization(_), .. } => ErrorCode::InvalidArgument,
            OpenError::TooLarge { .. }
            | OpenError::Load { cause: LoadError::TooMuchMemory { .. } | LoadError::TooSlow { .. }, .. } => {
                ErrorCode::TooLarge
            }
            OpenError::Read { .. }
            | OpenError::WrongDigest { .. }
            | OpenError::Check { .. }
            | OpenError::EngineFailed { .. }
            | OpenError::Load { cause: LoadError::Crashed(_), .. }
            | OpenError::Stopped => ErrorCode::RuntimeError,
        };
        Self::new(code, error.to_string())
    }
}

/// What our own interface would say, such as of a charge that does not fit.
impl From<tensors::Error> for NnError {
    fn from(error: tensors::Error) -> Self {
        let code = match error.code {
            tensors::ErrorCode::InvalidArgument => ErrorCode::InvalidArgument,
            tensors::ErrorCode::NotGranted => ErrorCode::NotFound,
            tensors::ErrorCode::OutOfMemory => ErrorCode::TooLarge,
            tensors::ErrorCode::DeadlineExceeded => ErrorCode::Timeout,
            tensors::ErrorCode::EngineFailed => ErrorCode::RuntimeError,
        };
        Self::new(code, error.message)
    }
}

impl SandboxState {
    /// Gives the guest `result`, or a handle of its error.
    pub(super) fn hand_over<T>(
        &mut self,
        result: Result<T, NnError>,
    ) -> wasmtime::Result<Result<T, Resource<NnError>>> {
        match result {
            Ok(value) => Ok(Ok(value)),
            // Where the handles have run out, the error about that has no handle either: the guest traps.
            Err(error) => Ok(Err(self.table.push(error)?)),
        }
    }
}

impl Host for SandboxState {}

impl HostError for SandboxState {
    fn code(&mut self, error: Resource<NnError>) -> wasmtime::Result<ErrorCode> {
        Ok(self.table.get(&error)?.code)
    }

    fn data(&mut self, error: Resource<NnError>) -> wasmtime::Result<String> {
        Ok(self.table.get(&error)?.message.clone())
    }

    fn drop(&mut self, error: Resource<NnError>) -> wasmtime::Result<()> {
        self.table.delete(error)?;
        Ok(())
    }
}
