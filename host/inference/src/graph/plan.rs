//! What a dispatch does, step by step, and what it takes.

use std::collections::{HashMap, HashSet};

use spillway_types::operator::Operator;

use super::chain::{Chain, Link};
use super::symbolic::{Traceable, Traced};
use crate::Tensor;

/// The steps of a graph.
pub(super) struct Plan {
    /// What is there before the first step: constants in their places, and room for the rest.
    pub(super) constants: Vec<(usize, Tensor)>,
    /// Places of operands.
    pub(super) places: usize,
    pub(super) steps: Vec<Step>,
    pub(super) outputs: Vec<Output>,
    pub(super) output_bytes: Vec<usize>,
    pub(super) working_bytes: usize,
    pub(super) folded_bytes: usize,
    pub(super) nanoseconds: f64,
}

/// One output.
pub(super) struct Output {
    pub(super) place: usize,
    /// Whether it is copied: it is a view of other memory, or an output already.
    pub(super) is_copied: bool,
}

/// One step: computes a place from others, and leaves some.
pub(super) struct Step {
    pub(super) work: Work,
    pub(super) result: usize,
    /// Places that nothing needs after this.
    pub(super) last_uses: Vec<usize>,
    result_bytes: usize,
    scratch_bytes: usize,
}

pub(super) enum Work {
    /// An operator on places.
    Operator(Operator, Vec<usize>),
    /// Elementwise operators in one pass.
    Chain(Chain),
}

impl Plan {
    pub(super) fn new(traced: Traced) -> Self {
        let Traced { operands, operations, outputs, folded_bytes } = traced;
        let first = operands.len() - operations.len();
        let is_needed = needed(&operations, &outputs, first, |number| operands[number].is_known);
        let mut uses = vec![0_usize; operands.len()];
        for (operation, _) in operations.iter().zip(first..).filter(|&(_, number)| is_needed[number]) {
            operation.inputs.iter().for_each(|&input| uses[input] += 1);
        }
        outputs.iter().for_each(|&output| uses[output] += 2);
        // Whether an operand's memory is its own, and made in a dispatch.
        let mut owns = vec![false; operands.len()];
        for (operation, number) in operations.iter().zip(first..) {
            owns[number] = operation.result_bytes > 0 && !operands[number].is_known;
        }
        let shown: Vec<&Tensor> = operands.iter().map(|operand| &operand.shown).collect();
        let nanoseconds = operations.iter().zip(first..).filter(|&(_, number)| is_needed[number]);
        let nanoseconds = nanoseconds.map(|(operation, _)| operation.nanoseconds).sum();

        let mut builder = Builder { shown: &shown, uses: &uses, steps: Vec::new(), chains: HashMap::new() };
        for (operation, number) in operations.into_iter().zip(first..) {
            if is_needed[number] {
                builder.add(operation, number);
            }
        }
        let mut steps: Vec<Step> = builder.steps.into_iter().flatten().collect();
        mark_last_uses(&mut steps, &outputs, operands.len());
        let output_bytes: Vec<usize> = outputs.iter().map(|&output| shown[output].byte_length()).collect();
        let mut seen = HashSet::new();
        let outputs = outputs.into_iter().map(|place| Output { place, is_copied: !owns[place] || !seen.insert(place) });
        let outputs: Vec<Output> = outputs.collect();
        let copied = outputs.iter().filter(|output| output.is_copied).map(|output| shown[output.place].byte_length());
        let most = copied.fold(peak(&steps, &shown), usize::saturating_add);
        let working_bytes = most.saturating_sub(output_bytes.iter().fold(0, |sum, bytes| sum.saturating_add(*bytes)));
        let is_used = |number: usize| uses[number] > 0;
        let constants = operands.iter().enumerate().filter(|&(number, operand)| operand.is_known && is_used(number));
        let constants = constants.map(|(number, operand)| (number, operand.shown.clone())).collect();
        Self {
            constants,
            places: operands.len(),
            steps,
            outputs,
            output_bytes,
            working_bytes,
            folded_bytes,
            nanoseconds,
        }
    }
}

/// Which operands a dispatch has to compute.
fn needed(operations: &[Traceable], outputs: &[usize], first: usize, is_known: impl Fn(usize) -> bool) -> Vec<bool> {
    let mut needed = vec![false; first + operations.len()];
    outputs.iter().for_each(|&output| needed[output] = !is_known(output));
    for (number, operation) in operations.iter().enumerate().rev() {
        if needed[first + number] {
            operation.inputs.iter().filter(|&&input| !is_known(input)).for_each(|&input| needed[input] = true);
        }
    }
    needed
}

struct Builder<'a> {
    shown: &'a [&'a Tensor],
    /// How often each operand is used; twice for an output, so that none is hidden in a chain.
    uses: &'a [usize],
    /// None where a chain was that went on later.
    steps: Vec<Option<Step>>,
    /// The steps that are chains, by their results.
    chains: HashMap<usize, usize>,
}

impl Builder<'_> {
    fn add(&mut self, operation: Traceable, number: usize) {
        let Traceable { operator, inputs, result_bytes, scratch_bytes, .. } = operation;
        let step = |work| Step { work, result: number, last_uses: Vec::new(), result_bytes, scratch_bytes };
        // Where a chain ends that nothing else needs the result of, it goes on.
        let goes_on = |operand: usize| self.uses[operand] == 1 && self.chains.contains_key(&operand);
        let Some((link, along)) = Link::of(&operator, &inputs, self.shown, number, goes_on) else {
            self.steps.push(Some(step(Work::Operator(operator, inputs))));
            return;
        };
        let before = goes_on(along).then(|| self.chains.remove(&along)).flatten();
        let before = before.and_then(|at| self.steps[at].take()).map(|step| step.work);
        let shape = || self.shown[number].shape().to_vec();
        let mut chain = match before {
            Some(Work::Chain(chain)) => chain,
            _ => Chain { shape: shape(), start: along, links: Vec::new() },
        };
        chain.links.push(link);
        // At the place of its last operation, when all other operands are there.
        self.chains.insert(number, self.steps.len());
        self.steps.push(Some(step(Work::Chain(chain))));
    }
}

impl Work {
    pub(super) fn inputs(&self) -> Vec<usize> {
        match self {
            Self::Operator(_, inputs) => inputs.clone(),
            Self::Chain(chain) => chain.inputs(),
        }
    }
}

fn mark_last_uses(steps: &mut [Step], outputs: &[usize], operands: usize) {
    let mut is_needed_later = vec![false; operands];
    outputs.iter().for_each(|&output| is_needed_later[output] = true);
    for step in steps.iter_mut().rev() {
        for input in step.work.inputs() {
            if !std::mem::replace(&mut is_needed_later[input], true) {
                step.last_uses.push(input);
            }
        }
    }
}

/// The most bytes that results and scratch take at once. A view keeps what it is a view of.
fn peak(steps: &[Step], shown: &[&Tensor]) -> usize {
    // Whose memory an operand shows, how many show it, and how large it is.
    let mut holder: Vec<usize> = (0..shown.len()).collect();
    let mut holds = vec![0_usize; shown.len()];
    let mut bytes = vec![0_usize; shown.len()];
    let (mut now, mut most) = (0_usize, 0_usize);
    for step in steps {
        let inputs = step.work.inputs();
        match inputs.iter().find(|&&input| shown[input].shares_storage_with(shown[step.result])) {
            Some(&input) => holder[step.result] = holder[input],
            None => bytes[step.result] = step.result_bytes,
        }
        holds[holder[step.result]] += 1;
        now = now.saturating_add(bytes[step.result]);
        most = most.max(now.saturating_add(step.scratch_bytes));
        for &input in &step.last_uses {
            let root = holder[input];
            holds[root] = holds[root].saturating_sub(1);
            if holds[root] == 0 {
                now = now.saturating_sub(std::mem::take(&mut bytes[root]));
            }
        }
    }
    most
}
