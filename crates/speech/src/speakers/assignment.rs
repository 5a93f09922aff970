//! Assigns rows to columns, one to one, with the largest total gain.

/// Returns the column of each row, or `None` for those that get none because there are fewer columns. `gains`
/// is row-major, `[rows, columns]`. Hungarian method with potentials (Kuhn 1955; Jonker and Volgenant 1987), in
/// O(rows² columns).
pub(super) fn assign(gains: &[f32], columns: usize) -> Vec<Option<usize>> {
    let rows = gains.len().checked_div(columns).unwrap_or(0);
    // Missing columns gain nothing.
    let width = columns.max(rows);
    let cost = |row: usize, column: usize| {
        if column < columns { -f64::from(gains[row * columns + column]) } else { 0.0 }
    };
    let (mut of_rows, mut of_columns) = (vec![0.0; rows], vec![0.0; width]);
    // The row of each column.
    let mut matched: Vec<Option<usize>> = vec![None; width];
    for row in 0..rows {
        let mut least = vec![(f64::INFINITY, None::<usize>); width];
        let mut used = vec![false; width];
        let (mut current, mut column) = (row, None);
        let end = loop {
            let (mut delta, mut next) = (f64::INFINITY, 0);
            for candidate in (0..width).filter(|&candidate| !used[candidate]) {
                let reduced = cost(current, candidate) - of_rows[current] - of_columns[candidate];
                if reduced < least[candidate].0 {
                    least[candidate] = (reduced, column);
                }
                if least[candidate].0 < delta {
                    (delta, next) = (least[candidate].0, candidate);
                }
            }
            // Also if gains are not finite.
            if delta == f64::INFINITY {
                return (0..rows).map(|row| (row < columns).then_some(row)).collect();
            }
            of_rows[row] += delta;
            for index in 0..width {
                if used[index] {
                    of_columns[index] -= delta;
                    if let Some(other) = matched[index] {
                        of_rows[other] += delta;
                    }
                } else {
                    least[index].0 -= delta;
                }
            }
            used[next] = true;
            match matched[next] {
                None => break next,
                Some(other) => (current, column) = (other, Some(next)),
            }
        };
        // Shifts the rows along the path.
        let mut column = end;
        while let Some(before) = least[column].1 {
            matched[column] = matched[before];
            column = before;
        }
        matched[column] = Some(row);
    }
    let mut found = vec![None; rows];
    for (column, row) in matched.into_iter().enumerate().take(columns) {
        if let Some(row) = row {
            found[row] = Some(column);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The largest total of all assignments.
    fn best(gains: &[f32], columns: usize, taken: &mut Vec<bool>) -> f32 {
        let Some((row, rest)) = gains.split_at_checked(columns).filter(|(row, _)| !row.is_empty())
        else {
            return 0.0;
        };
        let rows_left = rest.len() / columns + 1;
        let free = taken.iter().filter(|taken| !**taken).count();
        // A row goes without only if there are too few columns.
        let mut largest =
            if rows_left > free { best(rest, columns, taken) } else { f32::NEG_INFINITY };
        for column in 0..columns {
            if !taken[column] {
                taken[column] = true;
                largest = largest.max(row[column] + best(rest, columns, taken));
                taken[column] = false;
            }
        }
        largest
    }

    proptest! {
        #[test]
        fn no_assignment_gains_more(
            rows in 1usize..5,
            columns in 1usize..6,
            values in prop::collection::vec(0u8..50, 30),
        ) {
            let gains: Vec<f32> =
                values[..rows * columns].iter().map(|&value| f32::from(value)).collect();
            let found = assign(&gains, columns);
            let total: f32 =
                found.iter().enumerate().filter_map(|(row, &column)| Some(gains[row * columns + column?])).sum();
            prop_assert_eq!(total, best(&gains, columns, &mut vec![false; columns]));
            let mut used: Vec<usize> = found.iter().copied().flatten().collect();
            prop_assert_eq!(used.len(), rows.min(columns));
            used.sort_unstable();
            used.dedup();
            prop_assert_eq!(used.len(), rows.min(columns));
        }
    }

    #[test]
    fn negative_gains_and_none() {
        assert_eq!(assign(&[-1.0, -2.0, -5.0, -1.0], 2), [Some(0), Some(1)]);
        assert_eq!(assign(&[], 3), []);
        assert_eq!(assign(&[], 0), []);
        assert_eq!(assign(&[f32::NAN, f32::NAN], 2).len(), 1);
    }
}
