import Foundation
import Relevance

/// How often a student's verdict on one aspect is the teacher's.
struct AspectAgreement: Sendable, Equatable {
  let aspect: String
  let pairs: Int
  let agreeing: Int
  /// Pairs by the teacher's verdict (outer) and the student's (inner), in the order of `Verdict.allCases`.
  let counts: [[Int]]

  /// The aspects of a run, over dev pairs with both verdicts.
  ///
  /// A representation student compares what each side offers and cannot know that a query leaves an aspect open, so
  /// of it only pairs count on which the teacher says match or mismatch.
  static func of(_ run: ReportedRun) -> [AspectAgreement] {
    let isTower = run.student == "representation"
    var names = run.aspects
    if names.isEmpty { names = Set(run.predictions.values.flatMap(\.verdicts.keys)).sorted() }
    let kinds = Verdict.allCases
    return names.map { aspect in
      var counts = [[Int]](repeating: [0, 0, 0], count: kinds.count)
      for (pairID, prediction) in run.predictions {
        guard let student = prediction.verdicts[aspect],
          let teacher = run.teacherRecord(pairID)?.verdicts[aspect], !isTower || teacher != .unspecified,
          let row = kinds.firstIndex(of: teacher), let column = kinds.firstIndex(of: student)
        else { continue }
        counts[row][column] += 1
      }
      let pairs = counts.reduce(0) { $0 + $1.reduce(0, +) }
      return AspectAgreement(
        aspect: aspect, pairs: pairs, agreeing: kinds.indices.reduce(0) { $0 + counts[$1][$1] },
        counts: counts)
    }
  }

  var share: Double? { pairs > 0 ? Double(agreeing) / Double(pairs) : nil }

  /// What always giving the teacher's most frequent verdict would agree on.
  var constantShare: Double? {
    pairs > 0 ? Double(counts.map { $0.reduce(0, +) }.max() ?? 0) / Double(pairs) : nil
  }

  /// Cohen's kappa: agreement beyond what the two sides' frequencies give by chance; nil where chance is certain.
  var kappa: Double? {
    guard pairs > 0 else { return nil }
    let total = Double(pairs)
    let chance = counts.indices.reduce(0.0) { sum, index in
      let row = Double(counts[index].reduce(0, +))
      let column = Double(counts.reduce(0) { $0 + $1[index] })
      return sum + row * column / (total * total)
    }
    return chance < 1 ? (Double(agreeing) / total - chance) / (1 - chance) : nil
  }

  /// The share with Wilson's 95 % interval (Wilson 1927), pairs taken as independent.
  var estimate: MetricEstimate {
    AspectAgreement.wilson(agreeing, of: pairs)
  }

  static func wilson(_ count: Int, of total: Int) -> MetricEstimate {
    guard total > 0 else { return MetricEstimate(value: nil, low: nil, high: nil) }
    let z = 1.959963984540054
    let n = Double(total)
    let share = Double(count) / n
    let middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    let half = z / (1 + z * z / n) * (share * (1 - share) / n + z * z / (4 * n * n)).squareRoot()
    return MetricEstimate(value: share, low: max(0, middle - half), high: min(1, middle + half))
  }
}

extension ReportedRun {
  /// What the teacher said of a pair, from the first file that has it.
  func teacherRecord(_ pairID: String) -> TeacherRecord? {
    for file in teachers {
      if let record = file.record(pairID) { return record }
    }
    return nil
  }
}
