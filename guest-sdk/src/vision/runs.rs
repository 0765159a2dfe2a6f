//! Connected components of a bitmap, from its runs of equal pixels.

use super::bitmap::Bitmap;

/// Pixels of one row from `start` to before `end`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Run {
    pub(super) row: usize,
    pub(super) start: usize,
    pub(super) end: usize,
}

/// Which pixels are neighbours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Connectivity {
    /// Those that share an edge.
    Four,
    /// Those that share an edge or a corner.
    Eight,
}

/// The connected components of the pixels that are `value`, each as its runs row by row.
pub(super) fn components(bitmap: &Bitmap, value: bool, connectivity: Connectivity) -> Vec<Vec<Run>> {
    let runs = runs(bitmap, value);
    let mut parents: Vec<usize> = (0..runs.len()).collect();
    let reach = usize::from(connectivity == Connectivity::Eight);
    // Runs are sorted by row and place, so one finger moves along the row above.
    let mut above = 0;
    for (index, run) in runs.iter().enumerate() {
        let is_before =
            |other: &Run| other.row + 1 < run.row || (other.row + 1 == run.row && other.end + reach <= run.start);
        while is_before(&runs[above]) {
            above += 1;
        }
        let touching =
            runs[above..index].iter().take_while(|other| other.row + 1 == run.row && other.start < run.end + reach);
        for other in above..above + touching.count() {
            let (a, b) = (root(&mut parents, other), root(&mut parents, index));
            // The first run of a component is its root.
            parents[a.max(b)] = a.min(b);
        }
    }
    let mut places = vec![None; runs.len()];
    let mut components: Vec<Vec<Run>> = Vec::new();
    for (index, run) in runs.into_iter().enumerate() {
        let root = root(&mut parents, index);
        let place = *places[root].get_or_insert_with(|| {
            components.push(Vec::new());
            components.len() - 1
        });
        components[place].push(run);
    }
    components
}

fn runs(bitmap: &Bitmap, value: bool) -> Vec<Run> {
    let mut runs = Vec::new();
    for (row, pixels) in bitmap.rows().enumerate() {
        let mut start = 0;
        for part in pixels.chunk_by(|a, b| a == b) {
            let end = start + part.len();
            if part[0] == value {
                runs.push(Run { row, start, end });
            }
            start = end;
        }
    }
    runs
}

fn root(parents: &mut [usize], mut index: usize) -> usize {
    while parents[index] != index {
        parents[index] = parents[parents[index]];
        index = parents[index];
    }
    index
}
