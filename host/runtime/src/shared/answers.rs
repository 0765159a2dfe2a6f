//! Answers on their way out of a sandbox, and when they leave.
//!
//! A head that has left cannot be taken back: if another guest ends the sandbox before the body is whole, its caller is left with
//! a half. An answer that is held back until then dies with the sandbox instead, and its call hears `sandbox-lost` or runs again.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::Response;
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::BodyExt as _;
use tokio::sync::oneshot;

use crate::fault::Fault;
use crate::{Body, BodyError};

pub(super) type Answer = Result<Response<Body>, Fault>;
pub(super) type AnswerSender = oneshot::Sender<Answer>;

/// Looks at all guests after which an answer leaves whatever they do, so that a body that streams begins at some time also where
/// others never stop computing. In a crowd, the end of a body that was written at once has been seen to take thirty.
const LOOKS_MAX: usize = 100;
/// Frames by which a body streams: its guest has been let in again after the first.
const FRAMES_MAX: usize = 2;

/// How a turn ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// All guests wait.
    Done,
    /// Some have something left to do, from which another may keep them: one that computes, or is in a call of the host.
    Unfinished,
    /// The sandbox is lost.
    Failed,
}

/// Answers of this turn, and some of the turns before.
#[derive(Default)]
pub(super) struct Answers {
    waiting: Mutex<Vec<Waiting>>,
    /// How often all guests have been looked at.
    looks: AtomicUsize,
}

struct Waiting {
    to: AnswerSender,
    answer: Answer,
    /// The look in which it came.
    since: usize,
}

impl Answers {
    /// All guests are about to be looked at: none holds the store.
    pub(super) fn look(&self) {
        self.looks.fetch_add(1, Relaxed);
    }

    pub(super) fn add(&self, to: AnswerSender, answer: Answer) {
        let since = self.looks.load(Relaxed);
        self.lock().push(Waiting { to, answer, since });
    }

    pub(super) fn are_none(&self) -> bool {
        self.lock().is_empty()
    }

    /// How often all guests have been looked at so far.
    pub(super) fn looks(&self) -> usize {
        self.looks.load(Relaxed)
    }

    /// Lets go what may leave at the end of a turn: everything, if the guests wait; of a sandbox that is lost, what is whole; and
    /// meanwhile also what streams.
    pub(super) fn leave(&self, turn: Turn) {
        let (mut waiting, mut held) = (std::mem::take(&mut *self.lock()), Vec::new());
        for Waiting { to, answer, since } in waiting.drain(..) {
            let (answer, came) = if turn == Turn::Done { (answer, Came::All) } else { read_ahead(answer) };
            let leaves = match came {
                Came::All => true,
                Came::Frames(_) if turn == Turn::Failed => continue,
                Came::Frames(count) => count >= FRAMES_MAX || self.looks() - since >= LOOKS_MAX,
            };
            if leaves {
                // Nobody there: the caller has hung up, and the response goes with its body.
                let _ = to.send(answer);
            } else {
                held.push(Waiting { to, answer, since });
            }
        }
        // The list goes back as it is, so that the next turn finds room in it.
        waiting.append(&mut held);
        *self.lock() = waiting;
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What has come of a body.
enum Came {
    /// The whole answer.
    All,
    /// So many frames so far, and more may follow.
    Frames(usize),
}

/// Takes from a body what is there, which may let its guest write more.
fn read_ahead(answer: Answer) -> (Answer, Came) {
    let Ok(response) = answer else { return (answer, Came::All) };
    let (head, body) = response.into_parts();
    let (mut frames, mut rest) = (VecDeque::new(), Some(body));
    while let Some(body) = &mut rest {
        match Pin::new(body).poll_frame(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Some(Ok(frame))) => frames.push_back(Ok(frame)),
            Poll::Ready(Some(Err(error))) => {
                frames.push_back(Err(error));
                rest = None;
            }
            Poll::Ready(None) => rest = None,
            Poll::Pending => break,
        }
    }
    let came = if rest.is_none() { Came::All } else { Came::Frames(frames.len()) };
    let body = match rest {
        Some(body) if frames.is_empty() => body,
        rest => Ahead { frames, rest }.boxed_unsync(),
    };
    (Ok(Response::from_parts(head, body)), came)
}

/// A body of which a part was taken before it was asked for.
struct Ahead {
    frames: VecDeque<Result<Frame<Bytes>, BodyError>>,
    /// Until its end is there. It holds the invocation's place in the sandbox.
    rest: Option<Body>,
}

impl http_body::Body for Ahead {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match (self.frames.pop_front(), &mut self.rest) {
            (Some(frame), _) => Poll::Ready(Some(frame)),
            (None, Some(rest)) => Pin::new(rest).poll_frame(cx),
            (None, None) => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.frames.is_empty() && self.rest.as_ref().is_none_or(http_body::Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let ahead = self.frames.iter().flatten().filter_map(Frame::data_ref).map(|data| data.len() as u64).sum::<u64>();
        let rest = self.rest.as_ref().map_or(SizeHint::with_exact(0), http_body::Body::size_hint);
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower() + ahead);
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper + ahead);
        }
        hint
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::{Full, StreamBody};

    use super::*;

    type Answered = oneshot::Receiver<Answer>;

    fn add(answers: &Answers, body: Body) -> Answered {
        let (to, answered) = oneshot::channel();
        answers.add(to, Ok(Response::new(body)));
        answered
    }

    fn whole() -> Body {
        Full::new(Bytes::from("all of it")).map_err(|never| match never {}).boxed_unsync()
    }

    /// A first part, and no end.
    fn half() -> Body {
        use futures::StreamExt as _;
        let first = futures::stream::iter([Ok(Frame::data(Bytes::from("half")))]);
        StreamBody::new(first.chain(futures::stream::pending())).boxed_unsync()
    }

    fn body_of(mut answered: Answered) -> Body {
        answered.try_recv().expect("it has left").expect("an answer").into_body()
    }

    #[test]
    fn all_leave_once_the_guests_wait() {
        let answers = Answers::default();
        let (one, two) = (add(&answers, whole()), add(&answers, half()));
        answers.leave(Turn::Done);
        assert!(!body_of(one).is_end_stream() && !body_of(two).is_end_stream());
    }

    #[tokio::test]
    async fn while_another_computes_what_is_whole_leaves_and_what_is_not_waits_until_it_is_plain_that_it_streams() {
        let answers = Answers::default();
        let (one, mut two) = (add(&answers, whole()), add(&answers, half()));
        answers.leave(Turn::Unfinished);
        let body = body_of(one);
        assert_eq!(body.size_hint().exact(), Some(9));
        assert_eq!(body.collect().await.expect("a body").to_bytes(), "all of it");
        for _ in 0..LOOKS_MAX {
            assert_eq!(two.try_recv().err(), Some(oneshot::error::TryRecvError::Empty));
            answers.look();
            answers.leave(Turn::Unfinished);
        }
        let mut body = body_of(two);
        assert_eq!((body.size_hint().lower(), body.size_hint().exact()), (4, None));
        let first = body.frame().await.expect("a frame").expect("no error");
        assert_eq!(first.into_data().expect("data"), "half");
    }

    #[test]
    fn of_a_lost_sandbox_only_what_is_whole_leaves() {
        let answers = Answers::default();
        let (one, mut two) = (add(&answers, whole()), add(&answers, half()));
        answers.leave(Turn::Failed);
        body_of(one);
        assert_eq!(two.try_recv().err(), Some(oneshot::error::TryRecvError::Closed));
    }

    #[tokio::test]
    async fn a_second_frame_says_that_it_streams() {
        let (send, frames) = futures::channel::mpsc::unbounded();
        let answers = Answers::default();
        let mut answered = add(&answers, StreamBody::new(frames).boxed_unsync());
        for part in ["one", "two"] {
            assert_eq!(answered.try_recv().err(), Some(oneshot::error::TryRecvError::Empty));
            send.unbounded_send(Ok(Frame::data(Bytes::from(part)))).unwrap();
            answers.leave(Turn::Unfinished);
        }
        let body = body_of(answered);
        drop(send);
        assert_eq!(body.collect().await.expect("a body").to_bytes(), "onetwo");
    }
}
