//! A load while it runs: live lines in a terminal, else a plain line per step.

use std::convert::Infallible;
use std::io::IsTerminal as _;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::load::Load;
use super::mix::Function;
use super::ramp::Ramp;
use super::stage::{NODES, Stage};
use super::tally::Tally;
use super::text::{cents, millis, percent};

const LOOK: Duration = Duration::from_millis(250);
/// Nodes measure themselves twice a second; to ask costs them some.
const LOOKS_PER_QUESTION: usize = 4;
/// What is shown as of now is of so long.
const WINDOW: Duration = Duration::from_secs(3);
/// Calls of a step have been answered or refused so long after its end, but for a few pictures.
const AFTERMATH: Duration = Duration::from_secs(2);

/// Shows a load until it is dropped.
pub(crate) async fn follow(load: &Load, stage: &Stage, title: &str) -> Infallible {
    if std::io::stderr().is_terminal() { live(load, stage, title).await } else { plain(load, stage, title).await }
}

async fn live(load: &Load, stage: &Stage, title: &str) -> Infallible {
    let lines = Lines::new(load.ramp, title);
    let mut used = [None; NODES.len()];
    for look in 0_usize.. {
        if look.is_multiple_of(LOOKS_PER_QUESTION) {
            used = stage.utilisation().await;
        }
        lines.show(load, &used);
        tokio::time::sleep(LOOK).await;
    }
    std::future::pending().await
}

/// The lines of the terminal; they go when dropped.
struct Lines {
    all: MultiProgress,
    time: ProgressBar,
    calls: ProgressBar,
    latency: ProgressBar,
    nodes: [ProgressBar; NODES.len()],
}

impl Lines {
    fn new(ramp: Ramp, title: &str) -> Self {
        let all = MultiProgress::new();
        let line = |length: u64, template: &str| {
            let style = ProgressStyle::with_template(template).expect("the template is ours");
            all.add(ProgressBar::new(length).with_style(style.progress_chars("██░")))
        };
        let time = line(ramp.length().as_millis() as u64, "{prefix:>16}  {bar:24.blue} {msg}");
        let [calls, latency] = ["calls", "latency"].map(|name| line(0, "{prefix:>16}  {msg}").with_prefix(name));
        let nodes =
            NODES.each_ref().map(|place| line(100, "{prefix:>16}  {bar:24.yellow} {msg}").with_prefix(place.name));
        let time = time.with_prefix(title.to_owned());
        Self { all, time, calls, latency, nodes }
    }

    fn show(&self, load: &Load, used: &[Option<f64>; NODES.len()]) {
        let now = load.started.elapsed();
        let step = load.ramp.step_at(now);
        let recent = load.tally(|record| record.due + record.took + WINDOW > now);
        let all = load.tally(|_| true);
        self.time.set_position(now.min(load.ramp.length()).as_millis() as u64);
        self.time.set_message(format!(
            "{} s of {} s, {:.1} times what the edge can do",
            now.min(load.ramp.length()).as_secs(),
            load.ramp.length().as_secs(),
            Ramp::factor(step)
        ));
        let per_second = |count: usize| count as f64 / now.min(WINDOW).as_secs_f64().max(0.1);
        self.calls.set_message(format!(
            "offered {:5.1}/s   in time {:5.1}/s   late {:4.1}/s   refused {:5.1}/s",
            load.ramp.rate(step),
            per_second(recent.in_time),
            per_second(recent.late + recent.failed),
            per_second(recent.refused)
        ));
        self.latency.set_message(latency(&recent));
        for (number, line) in self.nodes.iter().enumerate() {
            line.set_position((used[number].unwrap_or_default() * 100.0).round() as u64);
            line.set_message(format!(
                "{:>5} of its cores   ran {:5.1}/s   cost {}",
                percent(used[number]),
                per_second(recent.ran[number]),
                cents(all.costs[number])
            ));
        }
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        let _ = self.all.clear();
    }
}

fn latency(tally: &Tally) -> String {
    let of = |function: Function| {
        let [p50, p99] = [0.5, 0.99].map(|share| millis(tally.quantile(function, share)));
        format!("{} p50 {p50}, p99 {p99}", function.name())
    };
    Function::ALL.map(of).join("   ")
}

async fn plain(load: &Load, stage: &Stage, title: &str) -> Infallible {
    for step in 0..Ramp::steps() - 1 {
        let end = load.started + load.ramp.step() * (step + 1) as u32;
        tokio::time::sleep_until(end.into()).await;
        let used = stage.utilisation().await;
        tokio::time::sleep_until((end + AFTERMATH).into()).await;
        say_step(load, &used, title, step);
    }
    std::future::pending().await
}

/// Ends what [`follow`] showed, when all calls have ended.
pub(crate) async fn finish(load: &Load, stage: &Stage, title: &str) {
    if !std::io::stderr().is_terminal() {
        say_step(load, &stage.utilisation().await, title, Ramp::steps() - 1);
    }
}

fn say_step(load: &Load, used: &[Option<f64>; NODES.len()], title: &str, step: usize) {
    let tally = load.tally(|record| load.ramp.step_at(record.due) == step);
    let per_second = |count: usize| count as f64 / load.ramp.step().as_secs_f64();
    let nodes = (0..NODES.len()).map(|node| {
        let (name, share, used) = (NODES[node].name, percent(tally.share(node)), percent(used[node]));
        format!("{name} {share} (busy {used})")
    });
    eprintln!(
        "{title}, step {:2}: {:.1} times the edge; offered {:.1}/s, in time {:.1}/s, late {:.1}/s, refused {:.1}/s; {}; \
         {}; cost {}",
        step + 1,
        Ramp::factor(step),
        load.ramp.rate(step),
        per_second(tally.in_time),
        per_second(tally.late + tally.failed),
        per_second(tally.refused),
        latency(&tally),
        nodes.collect::<Vec<_>>().join(", "),
        cents(tally.cost())
    );
}
