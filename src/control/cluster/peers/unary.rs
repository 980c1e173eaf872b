//! Messages to a node of gowebsocket: a call each, some at once.

use super::connect::{Broken, Guarded};
use super::letter::{Common, Letter, Outcome, PeerError};
use crate::control::proto::acc::acc_server_client::AccServerClient;
use crate::control::proto::acc::{QueryUsersOnlineReq, SendMsgAllReq, SendMsgReq};
use crate::control::proto::relay::item::Kind;
use crate::control::push::signed;
use crate::limits::PEER_CALLS_MAX;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use std::collections::{HashMap, VecDeque};
use std::error::Error;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;
use tonic::{Code, Request, Status};

/// A client of a node without batches.
pub(super) type Client = AccServerClient<Guarded>;

/// What such a node gives its own calls.
pub(super) const CALL_PATIENCE: Duration = Duration::from_secs(1);

/// Calls in a row without an answer before the connection is given up.
const LATE_MAX: u32 = 3;

/// Silence after which a node that nobody writes to is called: one that has been
/// replaced at its address may be of the other kind now.
const SILENCE_MAX: Duration = Duration::from_secs(5);

/// Calls for letters until the connection breaks. What is about one user keeps its order:
/// the next call about a user begins when the last one has ended. Calls about different
/// users are under way at the same time.
pub(super) async fn run(
    client: &Client,
    queue: &mut mpsc::Receiver<Letter>,
    common: &Common,
) -> Broken {
    let mut calls = FuturesUnordered::<BoxFuture<'_, (End, Option<Subject>)>>::new();
    let mut order = Order::default();
    let mut failures = 0;
    let mut ticks = tokio::time::interval(SILENCE_MAX);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let letter = tokio::select! {
            Some((end, subject)) = calls.next(), if !calls.is_empty() => {
                while let Some(next) = order.next(subject.as_ref()) {
                    if next.is_wanted() {
                        calls.push(call(client.clone(), next, subject.clone(), common).boxed());
                        break;
                    }
                }
                failures = match end {
                    End::Answered => 0,
                    End::Late => failures + 1,
                    End::Lost(broken) => {
                        order.give_up(common);
                        return broken;
                    }
                };
                if failures >= LATE_MAX {
                    order.give_up(common);
                    return Broken::silent("no answer in time");
                }
                continue;
            }
            Some(letter) = queue.recv(),
                if calls.len() < PEER_CALLS_MAX && order.held < PEER_CALLS_MAX => letter,
            _ = ticks.tick() => {
                let silence = common.clock.now().saturating_sub(common.gauges.heard().unwrap_or_default());
                if silence < SILENCE_MAX || !calls.is_empty() {
                    continue;
                }
                Letter::canary()
            }
        };
        let subject = subject_of(&letter.kind);
        if let Some(letter) = order.admit(subject.as_ref(), letter)
            && letter.is_wanted()
        {
            calls.push(call(client.clone(), letter, subject, common).boxed());
        }
    }
}

/// Whom a call is about.
type Subject = (u32, String);

/// Holds back what is about a user of whom a call is under way.
#[derive(Default)]
struct Order {
    /// What waits for the call under way about each of these users.
    waiting: HashMap<Subject, VecDeque<Letter>>,
    /// Letters in all of them.
    held: usize,
}

impl Order {
    /// Takes a letter: returns it if it may be sent now.
    fn admit(&mut self, subject: Option<&Subject>, letter: Letter) -> Option<Letter> {
        let Some(subject) = subject else { return Some(letter) };
        if let Some(waiting) = self.waiting.get_mut(subject) {
            waiting.push_back(letter);
            self.held += 1;
            return None;
        }
        // Only a letter that is sent holds others back.
        if letter.is_wanted() {
            self.waiting.insert(subject.clone(), VecDeque::new());
        }
        Some(letter)
    }

    /// What was not sent will not be.
    fn give_up(self, common: &Common) {
        for letter in self.waiting.into_values().flatten() {
            letter.slip.answer(Err(PeerError::Down), &common.metrics);
        }
    }

    /// A call has ended; what is next about the same user.
    fn next(&mut self, subject: Option<&Subject>) -> Option<Letter> {
        let subject = subject?;
        let next = self.waiting.get_mut(subject)?.pop_front();
        match next {
            Some(_) => self.held -= 1,
            None => {
                self.waiting.remove(subject);
            }
        }
        next
    }
}

/// The user of a letter; canaries, and what is from nobody, have no order.
fn subject_of(kind: &Kind) -> Option<Subject> {
    let (app, user) = match kind {
        Kind::Deliver(item) => (item.app, &item.user),
        Kind::FanOut(item) => (item.app, &item.from),
        Kind::Displaced(_) | Kind::Canary(_) => return None,
    };
    (!user.is_empty()).then(|| (app, user.clone()))
}

/// What a call says of the connection.
enum End {
    /// The peer has answered, if only with an error.
    Answered,
    Late,
    Lost(Broken),
}

async fn call(
    mut client: Client,
    letter: Letter,
    subject: Option<Subject>,
    common: &Common,
) -> (End, Option<Subject>) {
    let Letter { kind, slip, .. } = letter;
    let result = within(ask(&mut client, kind)).await;
    let result = result
        .or_else(|status| if is_too_large(&status) { Ok(Outcome::Invalid) } else { Err(status) });
    let end = match &result {
        Ok(_) => End::Answered,
        Err(status) => match error_of(status) {
            PeerError::Late => End::Late,
            PeerError::Lost => End::Lost(status.clone().into()),
            _ => End::Answered,
        },
    };
    if matches!(end, End::Answered) {
        common.gauges.hear(common.clock.now());
    }
    slip.answer(result.map_err(|status| error_of(&status)), &common.metrics);
    (end, subject)
}

/// Whether the peer says that the message is larger than it takes: gRPC servers in Go take 4 MiB
/// and say that a resource is exhausted.
fn is_too_large(status: &Status) -> bool {
    matches!(status.code(), Code::ResourceExhausted | Code::OutOfRange) && status.source().is_none()
}

/// Gives a call its second.
pub(super) async fn within<T>(call: impl Future<Output = Result<T, Status>>) -> Result<T, Status> {
    match tokio::time::timeout(CALL_PATIENCE, call).await {
        Ok(result) => result,
        Err(_) => Err(Status::deadline_exceeded("no answer in time")),
    }
}

/// What a failed call means to who waits for it.
pub(super) fn error_of(status: &Status) -> PeerError {
    match status.code() {
        Code::DeadlineExceeded | Code::Cancelled => PeerError::Late,
        // What the server has sent came from nowhere; what the connection has
        // come to has a source.
        _ if status.source().is_some() => PeerError::Lost,
        _ => PeerError::Refused,
    }
}

/// A request that also tells the server how long it has.
pub(super) fn timed<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(CALL_PATIENCE);
    request
}

async fn ask(client: &mut Client, kind: Kind) -> Result<Outcome, Status> {
    match kind {
        Kind::Deliver(item) => {
            let is_signed = !item.from.is_empty();
            let msg = if is_signed { signed(&item.from, &item.msg) } else { item.msg };
            let request = SendMsgReq {
                seq: item.seq,
                app_id: item.app,
                user_id: item.user,
                cms: item.cmd,
                r#type: "text".into(),
                msg,
                is_local: false,
            };
            let reply = client.send_msg(timed(request)).await?.into_inner();
            Ok(outcome(reply.ret_code))
        }
        Kind::FanOut(item) => {
            let request = SendMsgAllReq {
                seq: item.seq,
                app_id: item.app,
                user_id: item.from,
                cms: item.cmd,
                r#type: "text".into(),
                msg: item.msg,
            };
            let reply = client.send_msg_all(timed(request)).await?.into_inner();
            Ok(outcome(reply.ret_code))
        }
        // Such a node finds out from Redis.
        Kind::Displaced(_) => Ok(Outcome::Sent),
        Kind::Canary(_) => {
            client.query_users_online(timed(QueryUsersOnlineReq::default())).await?;
            Ok(Outcome::Sent)
        }
    }
}

/// What a `retCode` means. Nodes of gowebsocket say 1004 when the user is not
/// there, and 1009 when a message could not be sent.
fn outcome(ret_code: u32) -> Outcome {
    match ret_code {
        200 => Outcome::Sent,
        1004 | 1005 => Outcome::Offline,
        1001..=1003 => Outcome::Invalid,
        _ => Outcome::Refused,
    }
}
