//! Replaces an `If` whose condition is known by the branch that it takes.
//!
//! tract types both branches of an `If` and wants them alike, but exporters write `If` for what only the lengths of axes
//! or a constant decide, and there the branches differ (silero-vad squeezes an axis in one and not in the other). What is
//! taken out never runs, so nothing it lacks matters.

use std::collections::{BTreeMap, BTreeSet};

use tract_onnx::Onnx;
use tract_onnx::pb::{GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto};
use tract_onnx::prelude::{Framework as _, InferenceModelExt as _, TractResult};

use crate::job::contain;

/// How often conditions are looked at again after others have been decided. Exporters nest three or four; a file made to
/// keep a node busy should not get a look for each of its thousands.
const MOST_ROUNDS: usize = 32;

/// Folds what can be folded, and leaves the rest to tract.
pub(super) fn fold_branches(proto: &mut ModelProto, onnx: &Onnx) {
    let mut has_changed = false;
    for _ in 0..MOST_ROUNDS {
        let Some(graph) = &proto.graph else { return };
        let conditions = ready_conditions(graph);
        if conditions.is_empty() {
            break;
        }
        let decided = decide(proto, onnx, &conditions);
        let Some(graph) = proto.graph.as_mut().filter(|_| !decided.is_empty()) else { break };
        take_branches(graph, &decided);
        has_changed = true;
    }
    if let Some(graph) = proto.graph.as_mut().filter(|_| has_changed) {
        // Notes about values in between may be about branches that are gone, and weights of theirs would stay in memory.
        graph.value_info.clear();
        let used = used_names(graph);
        graph.initializer.retain(|tensor| used.contains(&tensor.name));
    }
}

/// The conditions of the graph's own `If`s that depend on no other `If`, loop or scan.
fn ready_conditions(graph: &GraphProto) -> BTreeSet<String> {
    let mut undecided: BTreeSet<&str> = BTreeSet::new();
    let mut conditions = BTreeSet::new();
    for node in &graph.node {
        let waits = node.input.iter().any(|input| undecided.contains(input.as_str()));
        if is_if(node) && !waits {
            conditions.extend(node.input.first().cloned());
        }
        if waits || subgraphs(node).next().is_some() {
            undecided.extend(node.output.iter().map(String::as_str));
        }
    }
    conditions
}

/// Those of `conditions` that are constants, with their values.
fn decide(proto: &ModelProto, onnx: &Onnx, conditions: &BTreeSet<String>) -> BTreeMap<String, bool> {
    // A condition that tract cannot compute must not keep the others from being decided, but trying each alone would
    // read the weights once for each.
    let together: Vec<_> = conditions.iter().collect();
    if let Ok(decided) = evaluate(proto, onnx, &together) {
        return decided;
    }
    let each = conditions.iter().take(MOST_ROUNDS);
    each.filter_map(|condition| evaluate(proto, onnx, &[condition]).ok()).flatten().collect()
}

/// Lets tract fold what `conditions` are computed from, and reads off those that became constants.
fn evaluate(proto: &ModelProto, onnx: &Onnx, conditions: &[&String]) -> TractResult<BTreeMap<String, bool>> {
    let Some(graph) = &proto.graph else { return Ok(BTreeMap::new()) };
    let part = ModelProto {
        ir_version: proto.ir_version,
        opset_import: proto.opset_import.clone(),
        graph: Some(part_that_computes(graph, conditions)),
        ..ModelProto::default()
    };
    let values = contain(|| {
        let model = onnx.model_for_proto_model(&part)?.into_typed()?.into_decluttered()?;
        let mut values = BTreeMap::new();
        for (index, condition) in conditions.iter().enumerate() {
            // ONNX wants one element, whatever the number of axes.
            let constant = model.output_fact(index)?.konst.as_ref().filter(|constant| constant.len() == 1);
            if let Some(constant) = constant {
                let mut flat = (**constant).clone();
                flat.set_shape(&[])?;
                values.insert((*condition).clone(), flat.cast_to_scalar::<bool>()?);
            }
        }
        Ok(values)
    });
    values.unwrap_or_else(|panic| Err(tract_onnx::prelude::TractError::msg(panic)))
}

/// The nodes, inputs and weights that `conditions` are computed from. Nodes stand after what they read, as ONNX demands,
/// so one pass backwards finds them; in a file that breaks this rule the condition stays undecided.
fn part_that_computes(graph: &GraphProto, conditions: &[&String]) -> GraphProto {
    let mut needed: BTreeSet<&str> = conditions.iter().map(|condition| condition.as_str()).collect();
    let mut nodes = Vec::new();
    for node in graph.node.iter().rev() {
        if node.output.iter().any(|output| needed.contains(output.as_str())) {
            needed.extend(node.input.iter().map(String::as_str));
            nodes.push(node.clone());
        }
    }
    nodes.reverse();
    let output = |condition: &&String| ValueInfoProto { name: (*condition).clone(), ..ValueInfoProto::default() };
    GraphProto {
        name: graph.name.clone(),
        node: nodes,
        input: graph.input.iter().filter(|input| needed.contains(input.name.as_str())).cloned().collect(),
        initializer: graph.initializer.iter().filter(|tensor| needed.contains(tensor.name.as_str())).cloned().collect(),
        output: conditions.iter().map(output).collect(),
        ..GraphProto::default()
    }
}

/// Puts the chosen branch in the place of each `If` whose condition is `decided`.
fn take_branches(graph: &mut GraphProto, decided: &BTreeMap<String, bool>) {
    let nodes = std::mem::take(&mut graph.node);
    for (index, mut node) in nodes.into_iter().enumerate() {
        let flag = node.input.first().and_then(|condition| decided.get(condition)).copied();
        match flag.filter(|_| is_if(&node)).and_then(|flag| take_branch(&mut node, flag)) {
            Some(branch) => inline(graph, branch, &node, index),
            None => graph.node.push(node),
        }
    }
}

/// The branch for `flag`, if the node has one that fits it.
fn take_branch(node: &mut NodeProto, flag: bool) -> Option<GraphProto> {
    let name = if flag { "then_branch" } else { "else_branch" };
    let branch = node.attribute.iter_mut().find(|attribute| attribute.name == name)?;
    let fits = |branch: &GraphProto| {
        branch.output.len() == node.output.len() && branch.input.is_empty() && branch.sparse_initializer.is_empty()
    };
    branch.g.take_if(|branch| fits(branch))
}

/// Moves the nodes of `branch` into `graph`. Two branches may use one name for two values, so each gets its own.
fn inline(graph: &mut GraphProto, mut branch: GraphProto, node: &NodeProto, index: usize) {
    let prefix = format!("{}/{index}", node.output.first().map_or("", String::as_str));
    let names: BTreeMap<String, String> =
        defined_names(&branch).into_iter().map(|name| (name.to_owned(), format!("{prefix}/{name}"))).collect();
    rename(&mut branch, &names);
    graph.initializer.append(&mut branch.initializer);
    graph.node.append(&mut branch.node);
    for (inner, outer) in branch.output.into_iter().zip(&node.output).filter(|(_, outer)| !outer.is_empty()) {
        graph.node.push(NodeProto {
            input: vec![inner.name],
            output: vec![outer.clone()],
            name: outer.clone(),
            op_type: "Identity".to_owned(),
            ..NodeProto::default()
        });
    }
}

/// Renames values wherever `graph` and the graphs inside it use them. As deep as protobuf is decoded, at the most.
fn rename(graph: &mut GraphProto, names: &BTreeMap<String, String>) {
    let replace = |name: &mut String| {
        if let Some(new) = names.get(name) {
            name.clone_from(new);
        }
    };
    graph.initializer.iter_mut().for_each(|tensor| replace(&mut tensor.name));
    graph.output.iter_mut().for_each(|output| replace(&mut output.name));
    for node in &mut graph.node {
        node.input.iter_mut().chain(&mut node.output).for_each(replace);
        for attribute in &mut node.attribute {
            for inner in attribute.g.iter_mut().chain(&mut attribute.graphs) {
                // ONNX forbids to define a name of an outer graph again; where it happens, the inner meaning holds.
                let own: BTreeSet<_> =
                    defined_names(inner).into_iter().filter(|name| names.contains_key(*name)).collect();
                if own.is_empty() {
                    rename(inner, names);
                } else {
                    let outer = names.iter().filter(|(name, _)| !own.contains(name.as_str()));
                    let outer = outer.map(|(name, new)| (name.clone(), new.clone())).collect();
                    rename(inner, &outer);
                }
            }
        }
    }
}

/// The values that `graph` itself defines.
fn defined_names(graph: &GraphProto) -> BTreeSet<&str> {
    let computed = graph.node.iter().flat_map(|node| &node.output).filter(|output| !output.is_empty());
    let given = graph.input.iter().map(|input| &input.name);
    computed
        .chain(given)
        .chain(graph.initializer.iter().map(|tensor: &TensorProto| &tensor.name))
        .map(String::as_str)
        .collect()
}

/// The values that nodes of `graph`, and of the graphs inside it, read, and its outputs.
fn used_names(graph: &GraphProto) -> BTreeSet<String> {
    let mut used: BTreeSet<String> = graph.output.iter().map(|output| output.name.clone()).collect();
    for node in &graph.node {
        used.extend(node.input.iter().cloned());
        subgraphs(node).for_each(|inner| used.extend(used_names(inner)));
    }
    used
}

fn is_if(node: &NodeProto) -> bool {
    node.op_type == "If" && node.domain.is_empty()
}

fn subgraphs(node: &NodeProto) -> impl Iterator<Item = &GraphProto> {
    node.attribute.iter().flat_map(|attribute| attribute.g.iter().chain(&attribute.graphs))
}
