import Relevance

/// A stretch of the input whose pairs are handed out with equal queries together, so that what a query's pairs
/// share is computed once; bounded in rows and bytes, so that memory does not grow with the input.
struct JobWindow {
  static let maximumBytes = 16 << 20

  private(set) var rows: [PairWork] = []
  private(set) var bytes = 0
  let maximumRows: Int

  init(maximumRows: Int) { self.maximumRows = max(1, maximumRows) }

  var isFull: Bool { rows.count >= maximumRows || bytes >= JobWindow.maximumBytes }

  mutating func add(_ work: PairWork) {
    rows.append(work)
    let pair = work.pair
    bytes += pair.query.utf8.count + pair.title.utf8.count + (pair.description?.utf8.count ?? 0)
    bytes += pair.attributes?.utf8.count ?? 0
  }

  /// The pairs by query, those of one query in input order.
  func sortedByQuery() -> [PairWork] {
    rows.sorted { left, right in
      left.pair.query == right.pair.query ? left.row < right.row : left.pair.query < right.pair.query
    }
  }
}
