//! No host: what a native build without feature `native` gets, so that it compiles.

use std::convert::Infallible;

use log::Level;

use super::graphs;
use super::operators::Operator;
use super::{HostError, HostErrorCode, TensorType};
use crate::DType;

const WORDS: &str = "there is no host here; in [dev-dependencies], give spillway-sdk the feature `native`";

fn absent<T>() -> Result<T, HostError> {
    Err(HostError::new(HostErrorCode::Failed, WORDS))
}

pub(crate) struct Tensor(Infallible);

impl Tensor {
    pub(crate) fn create(_: DType, _: &[u32], _: &[u8]) -> Result<Self, HostError> {
        absent()
    }

    pub(crate) fn read(&self) -> Vec<u8> {
        match self.0 {}
    }

    pub(crate) fn read_range(&self, _: u64, _: u64) -> Result<Vec<u8>, HostError> {
        match self.0 {}
    }

    pub(crate) fn dtype(&self) -> DType {
        match self.0 {}
    }

    pub(crate) fn shape(&self) -> Vec<usize> {
        match self.0 {}
    }

    pub(crate) async fn compute(_: Operator, _: &[&crate::Tensor]) -> Result<Self, HostError> {
        absent()
    }
}

pub(crate) struct Model(Infallible);

impl Model {
    pub(crate) async fn open(_: &str) -> Result<Self, HostError> {
        absent()
    }

    pub(crate) fn inputs(&self) -> Vec<TensorType> {
        match self.0 {}
    }

    pub(crate) fn outputs(&self) -> Vec<TensorType> {
        match self.0 {}
    }

    pub(crate) async fn run(&self, _: Vec<(String, &Tensor)>) -> Result<Vec<Tensor>, HostError> {
        match self.0 {}
    }

    pub(crate) async fn weight(&self, _: &str) -> Result<Tensor, HostError> {
        match self.0 {}
    }
}

pub(crate) fn infer(_: Operator, _: Vec<graphs::OperandDescriptor>) -> Result<graphs::OperandDescriptor, HostError> {
    absent()
}

pub(crate) struct Graph(Infallible);

impl Graph {
    pub(crate) async fn build(_: graphs::Definition, _: &[&Tensor]) -> Result<Self, HostError> {
        absent()
    }

    pub(crate) async fn dispatch(&self, _: &[&Tensor]) -> Result<Vec<Tensor>, HostError> {
        match self.0 {}
    }
}

pub(crate) struct Bucket(Infallible);

impl Bucket {
    pub(crate) fn open(_: &str) -> Result<Self, HostError> {
        absent()
    }

    pub(crate) fn get(&self, _: &str) -> Result<Option<Vec<u8>>, HostError> {
        match self.0 {}
    }

    pub(crate) fn set(&self, _: &str, _: &[u8]) -> Result<(), HostError> {
        match self.0 {}
    }

    pub(crate) fn delete(&self, _: &str) -> Result<(), HostError> {
        match self.0 {}
    }

    pub(crate) fn exists(&self, _: &str) -> Result<bool, HostError> {
        match self.0 {}
    }

    pub(crate) fn keys(&self, _: Option<u64>) -> Result<(Vec<String>, Option<u64>), HostError> {
        match self.0 {}
    }

    pub(crate) fn increment(&self, _: &str, _: u64) -> Result<u64, HostError> {
        match self.0 {}
    }
}

pub(crate) fn config(_: &str) -> Result<Option<String>, HostError> {
    absent()
}

pub(crate) fn log(level: Level, target: &str, message: &str) {
    eprintln!("{level} {target}: {message}");
}
