//! Models that run in the host.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::ops::Index;
use std::rc::Rc;

use crate::Tensor;
use crate::host::{self, HostError, TensorType};

thread_local! {
    /// The models that this sandbox has opened, so that opening again costs a look-up. A sandbox has one thread and lives
    /// for many requests; the host keeps the model itself, one for all sandboxes.
    static OPEN: RefCell<HashMap<String, Model>> = RefCell::default();
}

/// A model that `spillway.toml` grants under `[models.NAME]`. Clones are the same model.
///
/// ```no_run
/// # async fn example() -> spillway_sdk::Result<()> {
/// use spillway_sdk::{Model, Tensor};
///
/// let model = Model::open("digits").await?;
/// let image = Tensor::from_slice(&[0.0f32; 64], &[1, 64])?;
/// let outputs = model.run([("image", &image)]).await?;
/// let scores = outputs["scores"].to_vec::<f32>()?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Model(Rc<Opened>);

struct Opened {
    name: String,
    handle: host::Model,
    inputs: Vec<TensorType>,
    outputs: Rc<[TensorType]>,
}

impl Model {
    /// Opens the model granted under `name`. The first sandbox of a node to ask waits for it to load, and the first
    /// request of a sandbox for a handle; after that it is a look-up, so open it where you need it.
    ///
    /// # Errors
    /// The manifest does not grant it, or it does not load.
    pub async fn open(name: &str) -> Result<Self, HostError> {
        if let Some(model) = OPEN.with_borrow(|open| open.get(name).cloned()) {
            return Ok(model);
        }
        // Two requests that get here at once both ask the host, which loads once; waiting for each other would need
        // wake-ups between tasks for nothing.
        let handle = host::Model::open(name).await?;
        let (inputs, outputs) = (handle.inputs(), handle.outputs().into());
        let model = Self(Rc::new(Opened { name: name.to_owned(), handle, inputs, outputs }));
        OPEN.with_borrow_mut(|open| open.insert(name.to_owned(), model.clone()));
        Ok(model)
    }

    /// The inputs in the model's own order.
    pub fn inputs(&self) -> &[TensorType] {
        &self.0.inputs
    }

    /// The outputs in the model's own order.
    pub fn outputs(&self) -> &[TensorType] {
        &self.0.outputs
    }

    /// Runs the model on inputs given by name, each exactly once. While it waits, the sandbox serves other requests.
    ///
    /// # Errors
    /// An input is missing, unknown or of the wrong dtype or shape; the deadline passed; the engine failed.
    ///
    /// # Cancel safety
    /// Dropping the future gives the result up.
    pub async fn run<'a>(&self, inputs: impl IntoIterator<Item = (&'a str, &'a Tensor)>) -> Result<Outputs, HostError> {
        let inputs = inputs.into_iter().map(|(name, tensor)| (name.to_owned(), &tensor.handle)).collect();
        let tensors = self.0.handle.run(inputs).await?.into_iter().map(Tensor::from_handle).collect();
        Ok(Outputs { types: Rc::clone(&self.0.outputs), tensors })
    }
}

impl Model {
    /// A tensor of a `safetensors` file that is granted as a model; its names are those of [`outputs`](Self::outputs). The host
    /// has one for all sandboxes, and charges none of them for it.
    ///
    /// # Errors
    /// The file has no such tensor, or the model is a graph and no file of weights.
    pub async fn weight(&self, name: &str) -> Result<Tensor, HostError> {
        Ok(Tensor::from_handle(self.0.handle.weight(name).await?))
    }
}

impl fmt::Debug for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Model({})", self.0.name)
    }
}

/// What a model answered: a tensor for each of [`Model::outputs`], by index or by name.
#[derive(Debug)]
pub struct Outputs {
    types: Rc<[TensorType]>,
    tensors: Vec<Tensor>,
}

impl Outputs {
    /// The output called `name`, if there is one.
    pub fn get(&self, name: &str) -> Option<&Tensor> {
        let index = self.types.iter().position(|ty| ty.name == name)?;
        self.tensors.get(index)
    }

    /// The names and tensors in the model's own order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.types.iter().map(|ty| ty.name.as_str()).zip(&self.tensors)
    }
}

impl Index<usize> for Outputs {
    type Output = Tensor;

    /// # Panics
    /// The model has no such output.
    fn index(&self, index: usize) -> &Tensor {
        &self.tensors[index]
    }
}

impl Index<&str> for Outputs {
    type Output = Tensor;

    /// # Panics
    /// The model has no such output; [`Outputs::get`] asks.
    fn index(&self, name: &str) -> &Tensor {
        self.get(name).unwrap_or_else(|| {
            let names: Vec<_> = self.types.iter().map(|ty| ty.name.as_str()).collect();
            panic!("the model has no output `{name}`; it has {names:?}")
        })
    }
}
