//! The numbers of the procedure, in one place; what a caller may want to change is in `options.rs`.

use crate::units::Nanos;

/// Share of the samples that a trimmed mean leaves out at each end.
pub(super) const TRIM: f64 = 0.2;
/// Smallest standard deviation credited to paired differences of log times: clocks and kernels have grain.
pub(super) const FLOOR: f64 = 0.0005;
/// Numbers of blocks at which a race looks at its data.
pub(super) const LOOKS: [usize; 15] = [
    5, 7, 10, 14, 20, 28, 40, 56, 80, 112, 160, 224, 320, 448, 640,
];
/// Fewer complete blocks than this decide nothing.
pub(super) const LEAST_BLOCKS: usize = 3;
/// The ladder ends after so many small counts in a row …
pub(super) const HOPELESS: u32 = 3;
/// … that take so many times the best time.
pub(super) const HOPELESS_RATIO: f64 = 1.6;
/// Only counts up to this share of the best count may end the ladder.
pub(super) const HOPELESS_BELOW: f64 = 0.6;
/// 8, 4, 2 and 1 are sampled for smaller budgets if a call is expected to last no longer, in seconds.
pub(super) const SMALL_SECONDS: f64 = 0.2;
/// Every count is a candidate up to this many logical CPUs.
pub(super) const EVERY_COUNT: u32 = 8;
/// Where that share holds fewer calls of the best count than this, calls are long: the grid is thinned.
pub(super) const LONG_CALLS: f64 = 32.0;
/// Least ratio of neighbouring counts in the thinned grid: below 2, so that 24 beside 47 stays.
pub(super) const THINNED_RATIO: f64 = 1.9;
/// Counts between neighbours within this factor of the best are all screened.
pub(super) const DENSE_RATIO: f64 = 3.0;
/// A gap between two counts that is twice as wide as another promises as much as if its faster end were that much faster
/// (log time): half of it and twice as much find no better counts.
pub(super) const WIDTH_WORTH: f64 = 0.1;
/// So many of the arms that were sampled first are sampled again at the end.
pub(super) const FIRST_AGAIN: usize = 4;
/// Distance from the best (log) that survives each narrowing pass.
pub(super) const NARROW: [f64; 3] = [0.25, 0.12, 0.08];
/// Share of the time budget that screening may take whatever that leaves for the race.
pub(super) const SCREEN_SHARE: f64 = 0.4;
/// Screening may take more while the race keeps the time of so many samples of the best count, which is that of its
/// first looks. Of 1788 recorded products under a budget of 10 s, 800 stayed undecided with 40 samples, 760 with 50 and
/// 762 with 60 (where 80 blocks were wanted); with more the racers are chosen from ever fewer samples, and more of the decided ones are wrong.
pub(super) const RACE_SAMPLES: f64 = 50.0;
/// Share of the time budget after which the first of two races ends.
pub(super) const FIRST_RACE_SHARE: f64 = 0.7;
/// Share of the time budget after which races of bursts end where another follows under full load.
pub(super) const BURST_SHARE: f64 = 0.85;
/// So many samples of full load, each of as many calls, go before every sample under load: the machine is never
/// for more than a fifth of the time less than fully busy.
pub(super) const LOADS: usize = 4;
/// Aimed duration of a sample under load, seconds: processors take milliseconds to change a clock that power limits.
pub(super) const LOADED_SAMPLE_SECONDS: f64 = 0.02;
/// Counts below the fastest whose burst times are within this (log) of it are screened under load: power goes with the
/// cube of the clock, so a processor that sustains three tenths of its burst power loses a third of its clock.
pub(super) const LOADED_NEAR: f64 = 0.4;
/// Periods of a CPU quota that a sample of a team above it lasts at least.
pub(super) const QUOTA_PERIODS: u32 = 5;
/// How much a flagged sample may be too slow: its time divided by this is its optimistic value.
pub(super) const OPTIMISM: f64 = 1.8;
/// How often a flagged screening sample is tried again.
pub(super) const RETRIES: u32 = 3;
/// Fewest racers.
pub(super) const RACERS_LEAST: usize = 3;
/// Most racers, apart from all physical cores and all logical CPUs. Over 6000 simulated machines eight of them cost
/// 6 % more, left 0.7 % more cases undecided, and were within 2 % in 0.1 % more.
pub(super) const RACERS_MOST: usize = 6;
/// What did not get into the only race follows as a reserve where its median less so many standard errors promises more
/// than the indifference zone. Of 48 000 simulated machines (`tests/decide.rs`) those with mixed noise got a wrong count
/// that was called conclusive in .84 % without a reserve, in .50, .46 and .43 % with 1.3, 1.4 and 1.5; of all, 4.5 % stayed
/// inconclusive without, 6.9, 7.3 and 7.6 % with it.
pub(super) const RESERVE_ERRORS: f64 = 1.4;
/// Racers give way, worst first, until the time left holds so many blocks: eight that cannot be told from each other
/// in time are worth less than three that can. With 60 fewer recorded products stay undecided, but where placements
/// double the arms the best bound one is too often left out (`tests/decide_placements.rs`).
pub(super) const BLOCKS_WANTED: f64 = 40.0;
/// Racers of the second race, apart from the count that is best bound and those that programs take by themselves.
pub(super) const SECOND_RACERS: usize = 4;
/// Counts whose best bound time is within this (log) of the best are screened unbound. Which counts are best may
/// change with the binding: with the four best bound ones alone, 92 % of the simulated machines of
/// `tests/decide_placements.rs` got an unbound count within 2 % of the best; with this screening, 99 % for 8 % more time.
pub(super) const UNBOUND_NEAR: f64 = 0.5;
/// One sample of each of them may take this share of the time left: where calls are long the race needs it more.
pub(super) const UNBOUND_SCREEN_SHARE: f64 = 1.0 / 8.0;
/// A racer that cannot be better than the incumbent by more than this (log) leaves the race.
pub(super) const DROP: f64 = 0.015;
/// A smaller count this close (log) and proven within eps is preferred.
pub(super) const PARSIMONY: f64 = 0.005;
/// An arm of which a larger share of samples was flagged, before more than a quarter of its blocks, has no clean ones:
/// flags miss some disturbances, and of a lasting one those that they miss are all that is kept.
pub(super) const DISTURBED_SAMPLES: f64 = 2.0 / 3.0;
/// Of an arm that is disturbed so often, so many flagged samples are waited through before the race is given up: seven
/// seconds or so, as waits grow. Neighbours that stay longer are taken to stay. With fewer, more of the simulated
/// machines whose neighbours come and go get no count.
pub(super) const FLAGGED_WAITED_THROUGH: u32 = 40;
/// The same where there is little patience: a second or so.
pub(super) const FEW_FLAGGED_WAITED_THROUGH: u32 = 12;
/// A race with a larger share of dirty blocks is contaminated.
pub(super) const DIRTY_SHARE: f64 = 0.25;
/// After so many dirty blocks, when they are most of all, the race is given up: each took many seconds of waiting, and
/// the machine is plainly in use.
pub(super) const DIRTY_BLOCKS: usize = 3;
/// The first look of the race whose times are reported: an interval from five blocks would be true, but too wide to
/// tell a reader anything.
pub(super) const REPORTED_BLOCKS: usize = 10;
/// So many disturbed blocks in a row are thrown away before one is taken as it is.
pub(super) const DROPS_IN_A_ROW: u32 = 8;
/// The same where there is little patience: the waits between them are 0.6 s in all.
pub(super) const FEW_DROPS_IN_A_ROW: u32 = 4;
/// Most counts tried as the efficient one.
pub(super) const EFFICIENT_COUNTS: usize = 8;
/// Most blocks for one of them.
pub(super) const EFFICIENT_BLOCKS: usize = 40;
/// The loss that the efficient count may have, as a ratio.
pub(super) const EFFICIENT_LOSS: f64 = 0.05;
/// A count whose loss (log) is surely above this is passed over.
pub(super) const EFFICIENT_HOPELESS: f64 = 0.045;
/// The loss of the chosen count, as a ratio, above which a workload is worth tuning again.
pub(super) const DRIFT_LOSS: f64 = 0.05;
/// Counts that a drift check times beside the chosen one.
pub(super) const CONTENDERS: usize = 5;
/// Their least ratio to the chosen count and to each other: nearer ones would drift together. Up to eight threads every
/// count is far enough from the next.
pub(super) const CONTENDERS_RATIO: f64 = 1.14;
/// Share of a drift check's time budget after which no further count is calibrated.
pub(super) const CALIBRATION_SHARE: f64 = 1.0 / 8.0;
/// As many blocks as the time of its race should hold: five percent are told by fewer than two.
pub(super) const DRIFT_BLOCKS_WANTED: f64 = 30.0;
/// Between a loss and the race that confirms it.
pub(super) const DRIFT_PAUSE: Nanos = Nanos(1_000_000_000);
/// Most calls in one sample.
pub(super) const MOST_CALLS: f64 = 100_000.0;
/// Blocks of a visit after the first one.
pub(super) const VISIT_BLOCKS: f64 = 5.0;
/// A visit after the first one may take this share of what that one took.
pub(super) const VISIT_SHARE: f64 = 0.15;
/// So many times slower than the best, a count is no better at any time.
pub(super) const TURNED_BY_NO_REGIME: f64 = 2.0;
/// Blocks of the first visit, after which what is undecided is left to the others.
pub(super) const OPENING_BLOCKS: usize = 20;
/// In samples that last so long, seconds, it does not show what others left in the caches.
pub(super) const LONG_SAMPLE_SECONDS: f64 = 0.01;
/// What hidden regimes of a machine move, in log time, between a team of all its CPUs and one of none: counts of which one
/// loses less than its part of that to the other are to be seen over a minute rather than over seconds.
pub(super) const MOVED_BY_REGIMES: f64 = 0.5;
/// Counts that differ by less than this share of all CPUs are slowed alike.
pub(super) const SAME_WIDTH: f64 = 0.1;
/// The calls of a sample over those of one that only brings the caches to what they are in between.
pub(super) const WARMING: u32 = 8;
