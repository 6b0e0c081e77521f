//! What the same workload, tuned again and again, answered.

use crate::profile::{Entry, StopReason};
use crate::stats::{Components, median, variance_components};
use crate::units::ThreadCount;
use std::collections::BTreeMap;

/// What one tuning answered.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The count that it stated, if any.
    pub threads: Option<ThreadCount>,
    /// Why it ended.
    pub stop: StopReason,
    /// Counts that it could not tell from the best.
    pub ties: Vec<ThreadCount>,
    /// How long it took.
    pub seconds: f64,
}

impl From<&Entry> for Answer {
    fn from(entry: &Entry) -> Self {
        Self {
            threads: entry.latency.as_ref().map(|latency| latency.threads),
            stop: entry.stop.clone(),
            ties: entry.ties.clone(),
            seconds: entry.seconds,
        }
    }
}

/// Visits of processes that stayed alive, all of them in every round.
#[derive(Debug, Clone, PartialEq)]
pub struct Visits {
    /// The two counts that were compared.
    pub counts: [ThreadCount; 2],
    /// How many processes there were.
    pub processes: usize,
    /// By round, process and block: log time of the first count less that of the second.
    pub rounds: Vec<Vec<Vec<f64>>>,
}

impl Visits {
    /// How much of the scatter comes from where; rounds in which too much was disturbed are left out.
    pub fn components(&self) -> Option<Components> {
        let is_whole = |round: &&Vec<Vec<f64>>| {
            round.len() == self.processes && round.iter().all(|blocks| blocks.len() >= 2)
        };
        let whole: Vec<_> = self.rounds.iter().filter(is_whole).cloned().collect();
        variance_components(&whole)
    }

    /// How many times faster the first count was, by round; absent where all of it was disturbed.
    pub fn gains(&self) -> Vec<Option<f64>> {
        let of = |round: &Vec<Vec<f64>>| Some((-median(&round.concat())?).exp());
        self.rounds.iter().map(of).collect()
    }
}

/// One workload, tuned again and again by processes of their own.
#[derive(Debug, Clone, PartialEq)]
pub struct Repeated {
    /// Its name.
    pub name: String,
    /// One answer a tuning.
    pub answers: Vec<Answer>,
    /// What was timed between the tunings; absent where there is only one count, or none was ever stated.
    pub visits: Option<Visits>,
    /// From the first tuning's begin to the last visit's end.
    pub seconds: f64,
}

impl Repeated {
    /// How many tunings gave which count and stop reason, the most frequent first.
    pub fn tally(&self) -> Vec<(Option<ThreadCount>, String, usize)> {
        let mut tally: BTreeMap<(Option<ThreadCount>, String), usize> = BTreeMap::new();
        for answer in &self.answers {
            *tally
                .entry((answer.threads, answer.stop.to_string()))
                .or_default() += 1;
        }
        let mut rows: Vec<_> = tally
            .into_iter()
            .map(|((threads, stop), times)| (threads, stop, times))
            .collect();
        rows.sort_by_key(|(_, _, times)| std::cmp::Reverse(*times));
        rows
    }

    /// The answers that promise 95 % confidence.
    pub fn conclusive(&self) -> impl Iterator<Item = &Answer> {
        self.answers
            .iter()
            .filter(|answer| answer.stop.is_conclusive())
    }

    /// The count that most conclusive answers state, the smaller of two.
    pub fn usual(&self) -> Option<ThreadCount> {
        let mut times: BTreeMap<ThreadCount, usize> = BTreeMap::new();
        for threads in self.conclusive().filter_map(|answer| answer.threads) {
            *times.entry(threads).or_default() += 1;
        }
        let most = times.values().max().copied()?;
        times
            .into_iter()
            .find(|(_, count)| *count == most)
            .map(|(threads, _)| threads)
    }

    /// Conclusive answers that state another count than the usual one.
    pub fn others(&self) -> usize {
        let usual = self.usual();
        self.conclusive()
            .filter(|answer| answer.threads != usual)
            .count()
    }

    /// Those of them that rule the usual count out: it is not among their ties.
    pub fn contradictions(&self) -> usize {
        let Some(usual) = self.usual() else {
            return 0;
        };
        self.conclusive()
            .filter(|answer| answer.threads != Some(usual) && !answer.ties.contains(&usual))
            .count()
    }

    /// Seconds of a tuning, median.
    pub fn median_seconds(&self) -> Option<f64> {
        let seconds: Vec<f64> = self.answers.iter().map(|answer| answer.seconds).collect();
        median(&seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(threads: usize) -> ThreadCount {
        ThreadCount::clamped(threads)
    }

    fn answer(threads: usize, stop: StopReason, ties: &[usize]) -> Answer {
        Answer {
            threads: (threads > 0).then(|| count(threads)),
            stop,
            ties: ties.iter().map(|tie| count(*tie)).collect(),
            seconds: threads as f64,
        }
    }

    fn repeated(answers: Vec<Answer>) -> Repeated {
        Repeated {
            name: "matmul-64".to_owned(),
            answers,
            visits: None,
            seconds: 1.0,
        }
    }

    #[test]
    fn an_answer_contradicts_where_it_rules_the_usual_one_out() {
        use StopReason::{Budget, Contaminated, Eps, Separated};
        let found = repeated(vec![
            answer(2, Separated, &[2]),
            answer(1, Eps, &[1, 2]),
            answer(2, Separated, &[2]),
            answer(1, Separated, &[1]),
            answer(2, Eps, &[2, 1]),
            // Not conclusive, so nothing is contradicted.
            answer(4, Budget, &[4]),
            answer(0, Contaminated, &[]),
        ]);
        assert_eq!(found.usual(), Some(count(2)));
        assert_eq!((found.others(), found.contradictions()), (2, 1));
        assert_eq!(found.conclusive().count(), 5);
        assert_eq!(
            found.tally()[0],
            (Some(count(2)), "separated".to_owned(), 2)
        );
        assert_eq!(found.tally().len(), 6);
        assert_eq!(found.median_seconds(), Some(2.0));
    }

    #[test]
    fn of_two_equally_frequent_answers_the_smaller_is_the_usual_one() {
        use StopReason::Separated;
        let found = repeated(vec![answer(8, Separated, &[8]), answer(4, Separated, &[4])]);
        assert_eq!((found.usual(), found.contradictions()), (Some(count(4)), 1));
        let none = repeated(vec![answer(0, StopReason::Contaminated, &[])]);
        assert_eq!(
            (none.usual(), none.others(), none.contradictions()),
            (None, 0, 0)
        );
    }

    #[test]
    fn rounds_that_were_disturbed_are_no_part_of_the_split() {
        let round = |shift: f64| {
            vec![
                vec![shift - 0.1, shift + 0.1],
                vec![shift - 0.1, shift + 0.1],
            ]
        };
        let mut visits = Visits {
            counts: [count(2), count(1)],
            processes: 2,
            rounds: vec![round(0.0), round(1.0), round(2.0)],
        };
        let whole = visits.components().unwrap();
        visits.rounds.insert(1, vec![vec![5.0], vec![]]);
        assert_eq!(visits.components(), Some(whole));
        assert!((whole.between_visits - 1.0).abs() < 0.01);
        let gains = visits.gains();
        assert_eq!(gains.len(), 4);
        assert!((gains[0].unwrap() - 1.0).abs() < 1e-12);
        assert!((gains[3].unwrap() - (-2.0_f64).exp()).abs() < 1e-12);
    }
}
