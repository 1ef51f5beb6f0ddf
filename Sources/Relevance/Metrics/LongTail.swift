/// The words of training queries, to find queries whose words are rare among them.
public struct TrainingWords: Sendable {
  /// For each word how many training queries have it.
  private var counts: [String: Int] = [:]
  /// Distinct training queries.
  public private(set) var queries = 0
  private var seen: Set<String> = []

  public init() {}

  /// Reads the queries of files of pairs; rows that cannot be read are passed over.
  ///
  /// - Throws: what ``PairReader`` throws for a file as a whole.
  public init(paths: [String]) throws {
    for path in paths {
      let reader = try PairReader(path: path)
      while let row = try reader.next() {
        if case .pair(let pair, _) = row { add(pair.query, key: QueryKey.of(pair)) }
      }
    }
    seen = []
  }

  mutating func add(_ query: String, key: String) {
    guard seen.insert(key).inserted else { return }
    queries += 1
    for word in Set(TrainingWords.words(query)) { counts[word, default: 0] += 1 }
  }

  /// How many training queries have the query's rarest word; nil for a query without words.
  public func rarestCount(_ query: String) -> Int? {
    TrainingWords.words(query).map { counts[$0] ?? 0 }.min()
  }

  /// Runs of letters and digits, in small letters.
  static func words(_ text: String) -> [String] {
    text.lowercased().split { !$0.isLetter && !$0.isNumber }.map(String.init)
  }
}

/// Which rows belong to the long tail of queries.
public enum LongTail {
  /// Rows of queries that have at most `limit` pairs.
  public static func fewPairs(_ gold: [GoldPair], atMost limit: Int) -> [Int] {
    var counts: [String: Int] = [:]
    for pair in gold { counts[pair.queryKey, default: 0] += 1 }
    return gold.indices.filter { counts[gold[$0].queryKey, default: 0] <= limit }
  }

  /// Rows of queries whose rarest word fewer than `limit` training queries have.
  public static func rareWords(_ gold: [GoldPair], in words: TrainingWords, fewerThan limit: Int) -> [Int] {
    var known: [String: Bool] = [:]
    return gold.indices.filter { row in
      let query = gold[row].query
      if let isRare = known[query] { return isRare }
      let isRare = words.rarestCount(query).map { $0 < limit } ?? false
      known[query] = isRare
      return isRare
    }
  }
}
