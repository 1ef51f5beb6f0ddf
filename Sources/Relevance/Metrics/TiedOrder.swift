/// Rows in ascending order of a value, rows of equal values grouped.
struct TiedOrder: Sendable {
  /// Row numbers, lowest value first.
  let rows: [Int]
  /// For each group of equal values the place in `rows` after its last row.
  let ends: [Int]

  /// The values must not be NaN.
  init(_ values: [Double]) {
    let rows = values.indices.sorted { values[$0] < values[$1] }
    self.rows = rows
    ends = rows.indices.filter { $0 + 1 == rows.count || values[rows[$0]] != values[rows[$0 + 1]] }
      .map { $0 + 1 }
  }

  /// Ranks from 1, rows of equal values sharing the mean of theirs, as if each row stood there `weights[row]` times.
  func ranks(weights: [Int]) -> [Double] {
    var ranks = [Double](repeating: 0, count: rows.count)
    var before = 0
    var start = 0
    for end in ends {
      var weight = 0
      for place in start..<end { weight &+= weights[rows[place]] }
      let rank = Double(before) + Double(weight + 1) / 2
      for place in start..<end { ranks[rows[place]] = rank }
      before &+= weight
      start = end
    }
    return ranks
  }
}

/// Area under the ROC curve: the share of (relevant, other) pairs of rows in which the relevant row has the higher
/// value, ties counting half (Mann–Whitney).
struct AreaUnderCurve: Sendable {
  private let order: TiedOrder
  private let isPositive: [Bool]

  init(order: TiedOrder, isPositive: [Bool]) {
    self.order = order
    self.isPositive = isPositive
  }

  /// The area, each row standing there `weights[row]` times; nil where a side is empty.
  func value(weights: [Int]) -> Double? {
    var negatives = 0
    var positives = 0
    var wins = 0.0
    var start = 0
    for end in order.ends {
      var groupPositives = 0
      var groupNegatives = 0
      for place in start..<end {
        let row = order.rows[place]
        if isPositive[row] { groupPositives &+= weights[row] } else { groupNegatives &+= weights[row] }
      }
      wins += Double(groupPositives) * (Double(negatives) + Double(groupNegatives) / 2)
      positives &+= groupPositives
      negatives &+= groupNegatives
      start = end
    }
    guard positives > 0, negatives > 0 else { return nil }
    return wins / (Double(positives) * Double(negatives))
  }
}

/// Spearman's rank correlation: Pearson's of the ranks, ties sharing their mean rank.
struct RankCorrelation: Sendable {
  private let left: TiedOrder
  private let right: TiedOrder

  init(_ left: TiedOrder, _ right: TiedOrder) {
    self.left = left
    self.right = right
  }

  /// The correlation, each row standing there `weights[row]` times; nil where one side is all ties.
  func value(weights: [Int]) -> Double? {
    let total = weights.reduce(0, &+)
    let mean = Double(total + 1) / 2
    let leftRanks = left.ranks(weights: weights)
    let rightRanks = right.ranks(weights: weights)
    var products = 0.0
    var leftSquares = 0.0
    var rightSquares = 0.0
    for row in weights.indices where weights[row] > 0 {
      let weight = Double(weights[row])
      let x = leftRanks[row] - mean
      let y = rightRanks[row] - mean
      products += weight * x * y
      leftSquares += weight * x * x
      rightSquares += weight * y * y
    }
    guard leftSquares > 0, rightSquares > 0 else { return nil }
    return min(max(products / (leftSquares.squareRoot() * rightSquares.squareRoot()), -1), 1)
  }
}
