//! What an operator wants of this node. It outlives a restart: a drained node that starts again is still drained.

use std::sync::{PoisonError, RwLock};

use serde::{Deserialize, Serialize};
use spillway_cluster::{ControlError, ControlKey, ControlStore as _, EmbeddedControl, Expected};

use crate::peers::wire::Order;

/// What holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Orders {
    /// It takes no function that it does not have.
    pub(crate) cordoned: bool,
    /// It gives its calls away.
    pub(crate) draining: bool,
}

impl Orders {
    fn after(order: Order) -> Self {
        match order {
            Order::Cordon => Self { cordoned: true, draining: false },
            Order::Drain => Self { cordoned: true, draining: true },
            Order::Uncordon => Self::default(),
        }
    }
}

/// The orders of this node, on its disk.
pub(crate) struct KeptOrders {
    disk: EmbeddedControl,
    held: RwLock<Orders>,
}

impl KeptOrders {
    fn key() -> ControlKey {
        ControlKey::new(["own", "orders"]).expect("plain words are a key")
    }

    /// Reads what the disk has.
    ///
    /// # Errors
    /// The disk failed.
    pub(crate) async fn open(disk: EmbeddedControl) -> anyhow::Result<Self> {
        let entry = disk.get(&Self::key()).await?;
        let held = match entry.and_then(|entry| entry.value) {
            Some(value) => serde_json::from_slice(&value)?,
            None => Orders::default(),
        };
        Ok(Self { disk, held: RwLock::new(held) })
    }

    pub(crate) fn held(&self) -> Orders {
        *self.held.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes an order, on disk first.
    ///
    /// # Errors
    /// The disk failed; then the old ones hold.
    pub(crate) async fn note(&self, order: Order) -> Result<Orders, ControlError> {
        let orders = Orders::after(order);
        let key = Self::key();
        loop {
            let expected =
                self.disk.get(&key).await?.map_or(Expected::Absent, |entry| Expected::Version(entry.version));
            let bytes = serde_json::to_vec(&orders).unwrap_or_default().into();
            match self.disk.compare_and_set(&key, bytes, expected).await {
                Ok(_) => break,
                Err(ControlError::Conflict { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        *self.held.write().unwrap_or_else(PoisonError::into_inner) = orders;
        Ok(orders)
    }
}
