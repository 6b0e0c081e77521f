//! How much of a difference's scatter comes from where.

/// Standard deviations of a difference by what makes it differ.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Components {
    /// From one block to the next within a visit.
    pub within_visit: f64,
    /// From one visit to another, beyond what the scatter within them explains: what time does to the machine.
    pub between_visits: f64,
    /// From one process to another, beyond both.
    pub between_processes: f64,
}

/// Splits the variance of `rounds[r][p][b]`, the difference in block b when process p was visited in round r, where every
/// process was visited in every round.
///
/// With M the mean of a visit, it is that of a two-way layout with random effects and one value a cell (Searle, Casella and
/// `McCulloch`, "Variance Components", 1992, chapter 4): from the mean squares of rounds, of processes and of the rest follow
/// their variances, and from the last less what blocks explain that of a single visit, which counts as one between visits.
/// Variances below zero are zero. `None` where there are fewer than two rounds or processes, or a visit of fewer than two
/// blocks.
pub fn variance_components(rounds: &[Vec<Vec<f64>>]) -> Option<Components> {
    let processes = rounds.first()?.len();
    let is_whole = |round: &Vec<Vec<f64>>| {
        round.len() == processes && round.iter().all(|blocks| blocks.len() >= 2)
    };
    if rounds.len() < 2 || processes < 2 || !rounds.iter().all(is_whole) {
        return None;
    }
    let means: Vec<Vec<f64>> = rounds
        .iter()
        .map(|round| round.iter().map(|blocks| mean(blocks)).collect())
        .collect();
    let grand = mean(&means.concat());
    let of_round: Vec<f64> = means.iter().map(|round| mean(round)).collect();
    let of_process: Vec<f64> = (0..processes)
        .map(|p| mean(&means.iter().map(|round| round[p]).collect::<Vec<_>>()))
        .collect();
    let (r, p) = (rounds.len() as f64, processes as f64);
    let rest: f64 = means
        .iter()
        .zip(&of_round)
        .flat_map(|(round, of_round)| round.iter().zip(&of_process).map(move |x| (x, of_round)))
        .map(|((visit, of_process), of_round)| (visit - of_round - of_process + grand).powi(2))
        .sum::<f64>()
        / ((r - 1.0) * (p - 1.0));
    let rounds_beyond = (p * scatter(&of_round) - rest).max(0.0) / p;
    let processes_beyond = (r * scatter(&of_process) - rest).max(0.0) / r;

    let visits: Vec<&Vec<f64>> = rounds.iter().flatten().collect();
    let freedom: usize = visits.iter().map(|blocks| blocks.len() - 1).sum();
    let squares: f64 = visits
        .iter()
        .map(|blocks| scatter(blocks) * (blocks.len() - 1) as f64)
        .sum();
    let within = squares / freedom as f64;
    let explained = mean(
        &visits
            .iter()
            .map(|blocks| within / blocks.len() as f64)
            .collect::<Vec<_>>(),
    );
    let alone = (rest - explained).max(0.0);
    Some(Components {
        within_visit: within.sqrt(),
        between_visits: (rounds_beyond + alone).sqrt(),
        between_processes: processes_beyond.sqrt(),
    })
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// The variance of at least two values.
fn scatter(values: &[f64]) -> f64 {
    let centre = mean(values);
    let squares: f64 = values.iter().map(|value| (value - centre).powi(2)).sum();
    squares / (values.len() - 1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt as _, SeedableRng as _};
    use rand_pcg::Pcg32;

    /// Rounds of visits whose parts have these standard deviations.
    fn layout([block, visit, round, process]: [f64; 4], shape: [usize; 3]) -> Vec<Vec<Vec<f64>>> {
        let mut rng = Pcg32::seed_from_u64(5);
        // Uniform over ±√3 has a variance of one.
        let mut draw = |scale: f64| scale * 3.0_f64.sqrt() * (2.0 * rng.random::<f64>() - 1.0);
        let of_process: Vec<f64> = (0..shape[1]).map(|_| draw(process)).collect();
        (0..shape[0])
            .map(|_| {
                let of_round = draw(round);
                let visits = of_process.iter().map(|of_process| {
                    let centre = -0.4 + of_round + of_process + draw(visit);
                    (0..shape[2]).map(|_| centre + draw(block)).collect()
                });
                visits.collect()
            })
            .collect()
    }

    fn close(found: f64, expected: f64) {
        assert!(
            (found - expected).abs() < 0.15 * expected,
            "{found}, expected {expected}"
        );
    }

    #[test]
    fn each_part_is_found_where_it_was_put() {
        let found = variance_components(&layout([0.03, 0.05, 0.12, 0.2], [300, 40, 6])).unwrap();
        close(found.within_visit, 0.03);
        close(found.between_visits, 0.13);
        close(found.between_processes, 0.2);
    }

    #[test]
    fn scatter_of_blocks_alone_is_no_scatter_of_visits() {
        let found = variance_components(&layout([0.1, 0.0, 0.0, 0.0], [200, 20, 5])).unwrap();
        close(found.within_visit, 0.1);
        assert!(found.between_visits < 0.01 && found.between_processes < 0.01);
    }

    #[test]
    fn a_whole_layout_by_hand() {
        // Rounds differ by 2, processes by 1, blocks of a visit by 2, and nothing else.
        let visit = |centre: f64| vec![centre - 1.0, centre + 1.0];
        let rounds = vec![vec![visit(0.0), visit(1.0)], vec![visit(2.0), visit(3.0)]];
        let found = variance_components(&rounds).unwrap();
        assert!((found.within_visit - 2.0_f64.sqrt()).abs() < 1e-12);
        assert!((found.between_visits - 2.0_f64.sqrt()).abs() < 1e-12);
        assert!((found.between_processes - 0.5_f64.sqrt()).abs() < 1e-12);
    }

    #[test]
    fn what_is_not_whole_tells_nothing() {
        let visit = || vec![0.0, 1.0];
        assert_eq!(variance_components(&[]), None);
        assert_eq!(variance_components(&[vec![visit(), visit()]]), None);
        assert_eq!(variance_components(&[vec![visit()], vec![visit()]]), None);
        let ragged = [vec![visit(), visit()], vec![visit()]];
        assert_eq!(variance_components(&ragged), None);
        let short = [vec![visit(), visit()], vec![visit(), vec![0.0]]];
        assert_eq!(variance_components(&short), None);
    }
}
