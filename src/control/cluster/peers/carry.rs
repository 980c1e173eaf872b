//! Messages to a node of millgate: batches out, receipts back.

use super::connect::Broken;
use super::letter::{Common, Letter, Outcome, PeerError, Slip};
use crate::control::proto::relay::{self, Batch, Item, Receipt};
use crate::limits::{RELAY_BATCH_BYTES, RELAY_BATCH_ITEMS};
use std::collections::VecDeque;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;
use tonic::Streaming;

/// The open stream to a peer.
#[derive(Debug)]
pub(super) struct Stream {
    batches: mpsc::Sender<Batch>,
    receipts: Streaming<Receipt>,
    desk: Desk,
}

/// What is between the queue and the wire.
#[derive(Debug)]
struct Desk {
    /// Number of the next batch.
    next: u64,
    /// Taken from the queue and not yet packed.
    held: VecDeque<Letter>,
    /// Sent and not yet acknowledged, oldest first.
    unacked: VecDeque<Unacked>,
}

#[derive(Debug)]
struct Unacked {
    number: u64,
    sent: Duration,
    slips: Vec<Slip>,
}

/// How long a receipt may take; a stream without one for so long has broken.
const RECEIPT_PATIENCE: Duration = Duration::from_secs(1);

/// Silence after which a peer that nobody writes to is asked for a receipt.
const SILENCE_MAX: Duration = Duration::from_secs(2);

/// How often both are looked at.
const TICK: Duration = Duration::from_millis(100);

impl Stream {
    /// A stream on which batch 1 has been acknowledged.
    pub(super) fn new(batches: mpsc::Sender<Batch>, receipts: Streaming<Receipt>) -> Self {
        let desk = Desk { next: 2, held: VecDeque::new(), unacked: VecDeque::new() };
        Self { batches, receipts, desk }
    }

    /// Carries letters until the stream breaks; then every letter that has left
    /// the queue is answered.
    pub(super) async fn run(
        mut self,
        queue: &mut mpsc::Receiver<Letter>,
        common: &Common,
    ) -> Broken {
        let broken = self.carry(queue, common).await;
        common.gauges.stand(None);
        for slip in self.desk.unacked.into_iter().flat_map(|batch| batch.slips) {
            slip.answer(Err(PeerError::Lost), &common.metrics);
        }
        for letter in self.desk.held {
            letter.slip.answer(Err(PeerError::Down), &common.metrics);
        }
        broken
    }

    async fn carry(&mut self, queue: &mut mpsc::Receiver<Letter>, common: &Common) -> Broken {
        let Self { batches, receipts, desk } = self;
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut taken = Vec::with_capacity(RELAY_BATCH_ITEMS);
        let mut place: Option<mpsc::Permit<'_, Batch>> = None;
        loop {
            if !desk.held.is_empty()
                && let Some(place) = place.take()
            {
                place.send(desk.pack(common.clock.now()));
            }
            tokio::select! {
                receipt = receipts.message() => {
                    let settled = match receipt {
                        Ok(Some(receipt)) => desk.settle(&receipt, common),
                        Ok(None) => Err(Broken::new("the peer has ended the stream")),
                        Err(status) => Err(status.into()),
                    };
                    if let Err(broken) = settled {
                        return broken;
                    }
                }
                permit = batches.reserve(), if place.is_none() => match permit {
                    Ok(permit) => place = Some(permit),
                    Err(_) => return Broken::new("the stream is closed"),
                },
                _ = queue.recv_many(&mut taken, RELAY_BATCH_ITEMS),
                    if place.is_some() && desk.held.is_empty() =>
                {
                    desk.held.extend(taken.drain(..).filter(Letter::is_wanted));
                }
                _ = ticks.tick() => {
                    if let Err(broken) = desk.look(common) {
                        return broken;
                    }
                }
            }
        }
    }
}

impl Desk {
    /// Packs what is held, up to a full batch.
    fn pack(&mut self, now: Duration) -> Batch {
        let count = self.held.len().min(RELAY_BATCH_ITEMS);
        let (mut items, mut slips) = (Vec::with_capacity(count), Vec::with_capacity(count));
        let mut bytes = 0;
        while items.len() < RELAY_BATCH_ITEMS && bytes < RELAY_BATCH_BYTES {
            let Some(letter) = self.held.pop_front() else { break };
            bytes += letter.bytes();
            items.push(Item { kind: Some(letter.kind) });
            slips.push(letter.slip);
        }
        let number = self.next;
        self.next += 1;
        self.unacked.push_back(Unacked { number, sent: now, slips });
        Batch { number, items }
    }

    /// Answers the letters of the oldest batch.
    fn settle(&mut self, receipt: &Receipt, common: &Common) -> Result<(), Broken> {
        let batch = self.unacked.pop_front().filter(|batch| {
            batch.number == receipt.number && batch.slips.len() == receipt.outcomes.len()
        });
        // The slips of a batch that does not fit are dropped: lost, as all that follow.
        let Some(batch) = batch else {
            return Err(Broken::new("the peer has sent a receipt for another batch"));
        };
        common.gauges.hear(common.clock.now());
        if receipt.standing.is_some() {
            common.gauges.stand(receipt.standing.as_ref());
        }
        for (slip, outcome) in batch.slips.into_iter().zip(&receipt.outcomes) {
            // What only newer nodes can say is no success.
            let outcome = relay::Outcome::try_from(*outcome).unwrap_or(relay::Outcome::Refused);
            slip.answer(Ok(outcome.into()), &common.metrics);
        }
        Ok(())
    }

    /// Breaks a stream whose receipts do not come; asks for one if it is idle.
    fn look(&mut self, common: &Common) -> Result<(), Broken> {
        let now = common.clock.now();
        if let Some(oldest) = self.unacked.front() {
            let is_late = now.saturating_sub(oldest.sent) >= RECEIPT_PATIENCE;
            let error = || Broken::silent("no receipt in time");
            return if is_late { Err(error()) } else { Ok(()) };
        }
        let heard = common.gauges.heard().unwrap_or_default();
        if self.held.is_empty() && now.saturating_sub(heard) >= SILENCE_MAX {
            self.held.push_back(Letter::canary());
        }
        Ok(())
    }
}

impl From<relay::Outcome> for Outcome {
    fn from(outcome: relay::Outcome) -> Self {
        match outcome {
            relay::Outcome::Done => Self::Sent,
            relay::Outcome::Offline => Self::Offline,
            relay::Outcome::Refused => Self::Refused,
            relay::Outcome::Invalid => Self::Invalid,
        }
    }
}
