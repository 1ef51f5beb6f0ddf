/// How often each label was right, was gold and was predicted.
struct ClassificationCounts: Sendable, Equatable {
  private(set) var correct: [Int]
  private(set) var gold: [Int]
  private(set) var predicted: [Int]

  init(labelCount: Int) {
    correct = Array(repeating: 0, count: labelCount)
    gold = correct
    predicted = correct
  }

  mutating func add(gold label: Int, predicted guess: Int, weight: Int) {
    gold[label] &+= weight
    predicted[guess] &+= weight
    if label == guess { correct[label] &+= weight }
  }

  var total: Int { gold.reduce(0, &+) }

  var accuracy: Double? {
    total > 0 ? Double(correct.reduce(0, &+)) / Double(total) : nil
  }

  /// Nil where the label is never predicted.
  func precision(_ label: Int) -> Double? {
    predicted[label] > 0 ? Double(correct[label]) / Double(predicted[label]) : nil
  }

  /// Nil where the label is never gold.
  func recall(_ label: Int) -> Double? {
    gold[label] > 0 ? Double(correct[label]) / Double(gold[label]) : nil
  }

  /// 2·correct / (gold + predicted); nil where the label is neither gold nor predicted.
  func f1(_ label: Int) -> Double? {
    let occurrences = gold[label] &+ predicted[label]
    return occurrences > 0 ? Double(2 &* correct[label]) / Double(occurrences) : nil
  }

  /// The mean over the labels that are gold or predicted.
  var macroF1: Double? {
    let values = gold.indices.compactMap(f1)
    return values.isEmpty ? nil : values.reduce(0, +) / Double(values.count)
  }

  /// The mean weighted by how often each label is gold.
  var weightedF1: Double? {
    guard total > 0 else { return nil }
    return gold.indices.reduce(0) { $0 + (f1($1) ?? 0) * Double(gold[$1]) } / Double(total)
  }
}
