import Basics

/// A label and a distribution that a model gives a pair.
public struct Prediction: Sendable, Equatable {
  /// The place of the predicted label in the label set.
  public let label: Int
  public let distribution: LabelDistribution

  /// Without `label` the most probable one counts as predicted.
  public init(label: Int? = nil, distribution: LabelDistribution) {
    self.label = label ?? distribution.index
    self.distribution = distribution
  }
}

/// A pair's gold label.
public struct GoldPair: Sendable, Equatable {
  public let pairID: String
  /// What tells queries apart: pairs of equal keys are of one query.
  public let queryKey: String
  public let query: String
  /// The place of the gold label in the label set.
  public let label: Int
  /// What Spearman's correlation ranks by: the label's gain or the annotators' grade.
  public let value: Double

  public init(pairID: String, queryKey: String, query: String, label: Int, value: Double) {
    self.pairID = pairID
    self.queryKey = queryKey
    self.query = query
    self.label = label
    self.value = value
  }
}

/// Predictions beside gold labels, a row a pair, in columns.
public struct JudgedPairs: Sendable {
  /// More labels than this are no grades of relevance.
  static let maximumLabels = 256

  public let labels: LabelSet
  /// For each label whether it counts as relevant.
  public let isRelevant: [Bool]
  /// For each row its query, counted from 0 in the order of their first rows.
  let queries: [Int]
  public let queryCount: Int
  let gold: [Int]
  let goldValues: [Double]
  let predicted: [Int]
  /// The probability of the predicted label.
  let confidences: [Double]
  /// The probability of the gold label.
  let goldProbabilities: [Double]
  /// The expected gain.
  let scores: [Double]

  public var count: Int { gold.count }

  /// Puts gold pairs and their predictions, of equal count and order, side by side.
  ///
  /// - Parameter relevant: names of the labels that count as relevant; by default those whose gain is above the
  ///   set's lowest.
  /// - Throws: `invalidArgument` where counts differ, a label is outside the set, or `relevant` holds an unknown
  ///   name, none or all; `unsupported` for more than 256 labels.
  public init(
    labels: LabelSet, gold pairs: [GoldPair], predictions: [Prediction], relevant: [String]? = nil
  ) throws {
    isRelevant = try JudgedPairs.relevance(labels, relevant)
    guard labels.count <= JudgedPairs.maximumLabels else {
      throw RetortError(
        .unsupported, "found \(labels.count) labels; at most \(JudgedPairs.maximumLabels) can be evaluated",
        field: "labels", remedy: "Evaluate with a label set of ordered grades.")
    }
    guard pairs.count == predictions.count, pairs.allSatisfy({ labels.labels.indices.contains($0.label) }),
      predictions.allSatisfy({ labels.labels.indices.contains($0.label) && $0.distribution.labels == labels })
    else {
      throw RetortError(
        .invalidArgument, "gold labels and predictions do not fit each other and the label set",
        field: "predictions", remedy: "Give each gold pair one prediction over the same label set.")
    }
    self.labels = labels
    var places: [String: Int] = [:]
    var queries: [Int] = []
    for pair in pairs {
      let place = places[pair.queryKey] ?? places.count
      places[pair.queryKey] = place
      queries.append(place)
    }
    self.queries = queries
    queryCount = places.count
    gold = pairs.map(\.label)
    goldValues = pairs.map(\.value)
    predicted = predictions.map(\.label)
    confidences = predictions.map { $0.distribution.probabilities[$0.label] }
    goldProbabilities = zip(pairs, predictions).map { $1.distribution.probabilities[$0.label] }
    scores = predictions.map(\.distribution.score)
  }

  private static func relevance(_ labels: LabelSet, _ names: [String]?) throws -> [Bool] {
    guard let names else {
      let lowest = labels.labels.map(\.gain).min() ?? 0
      return labels.labels.map { $0.gain > lowest }
    }
    var result = [Bool](repeating: false, count: labels.count)
    for name in names {
      guard let index = labels.index(of: name) else {
        throw RetortError(
          .invalidArgument, "the label \"\(name)\" is not in the label set", field: "relevant",
          remedy: "Name some of: \(labels.names.joined(separator: ", ")).")
      }
      result[index] = true
    }
    guard result.contains(true), result.contains(false) else {
      throw RetortError(
        .invalidArgument, "relevant labels must be some of the set, not none or all", field: "relevant",
        remedy: "Name some of: \(labels.names.joined(separator: ", ")).")
    }
    return result
  }
}
