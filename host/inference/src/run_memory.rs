//! An engine whose runs have a limit of memory: [`RunMemory`].

use spillway_types::Specialization;

use crate::{Engine, LoadError, LoadedModel, RunError, Tensor, TensorType, Within};

/// `engine`, but a run that takes more than so many bytes beside its inputs is refused. Callers choose the lengths of free
/// axes, and authors what a graph makes of them; the node has memory for neither.
pub struct RunMemory<E> {
    engine: E,
    limit_bytes: u64,
}

struct Limited {
    model: Box<dyn LoadedModel>,
    limit_bytes: u64,
}

impl<E: Engine> RunMemory<E> {
    /// Runs of `engine` within `limit_bytes`.
    pub fn new(engine: E, limit_bytes: u64) -> Self {
        Self { engine, limit_bytes }
    }
}

impl<E: Engine> Engine for RunMemory<E> {
    fn name(&self) -> &'static str {
        self.engine.name()
    }

    fn version(&self) -> &'static str {
        self.engine.version()
    }

    fn load(&self, file: Vec<u8>, specialization: &Specialization) -> Result<Box<dyn LoadedModel>, LoadError> {
        let model = self.engine.load(file, specialization)?;
        Ok(Box::new(Limited { model, limit_bytes: self.limit_bytes }))
    }
}

impl LoadedModel for Limited {
    fn inputs(&self) -> &[TensorType] {
        self.model.inputs()
    }

    fn outputs(&self) -> &[TensorType] {
        self.model.outputs()
    }

    fn memory_bytes(&self) -> usize {
        self.model.memory_bytes()
    }

    fn trials(&self) -> Vec<Vec<Vec<usize>>> {
        self.model.trials()
    }

    fn weight(&self, name: &str) -> Option<Tensor> {
        self.model.weight(name)
    }

    fn run(&self, inputs: Vec<Tensor>, stop: &dyn Fn() -> bool) -> Result<Vec<Tensor>, RunError> {
        self.model.run_within(inputs, stop, self.limit_bytes.into())
    }

    fn run_within(
        &self,
        inputs: Vec<Tensor>,
        stop: &dyn Fn() -> bool,
        within: Within<'_>,
    ) -> Result<Vec<Tensor>, RunError> {
        let limit_bytes = within.limit_bytes.min(self.limit_bytes);
        self.model.run_within(inputs, stop, Within { limit_bytes, ..within })
    }
}
