import Relevance

/// A dev pair to which student and teacher give different labels.
struct Disagreement: Sendable {
  let pair: Pair
  let student: Prediction
  let teacher: TeacherRecord
  /// The human label's place in the label set.
  let gold: Int?
  /// Half the sum of the probabilities' differences: 0 for equal distributions, 1 for disjoint ones.
  let distance: Double

  /// Pairs of one query beyond this are left out, so that no query fills the list.
  static let perQuery = 2

  /// Where a run's student differs most from the teacher, the farthest first.
  static func of(_ run: ReportedRun, limit: Int) -> (examples: [Disagreement], differing: Int, compared: Int)
  {
    guard let labels = run.labels else { return ([], 0, 0) }
    var compared = 0
    var found: [Disagreement] = []
    for (pairID, prediction) in run.predictions {
      guard let teacher = run.teacherRecord(pairID) else { continue }
      compared += 1
      guard teacher.prediction.label != prediction.prediction.label, let pair = run.pairs[pairID] else {
        continue
      }
      let distance =
        zip(prediction.prediction.distribution.probabilities, teacher.prediction.distribution.probabilities)
        .reduce(0) { $0 + abs($1.0 - $1.1) } / 2
      found.append(
        Disagreement(
          pair: pair, student: prediction.prediction, teacher: teacher,
          gold: pair.label.flatMap { labels.index(of: $0) }, distance: distance))
    }
    found.sort {
      $0.distance != $1.distance ? $0.distance > $1.distance : $0.pair.pairID < $1.pair.pairID
    }
    var queries: [String: Int] = [:]
    var examples: [Disagreement] = []
    for example in found where examples.count < limit {
      queries[example.pair.query, default: 0] += 1
      if queries[example.pair.query, default: 0] <= perQuery { examples.append(example) }
    }
    return (examples, found.count, compared)
  }
}
