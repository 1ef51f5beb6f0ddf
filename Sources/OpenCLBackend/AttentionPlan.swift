import Tensors

/// Which work-group computes what of a step's attention; the lists that the kernels read.
///
/// A row's chunks of ``AttentionShape/splitTokens`` tokens are put together in order whoever computes them, so none
/// of the choices here changes a bit of a result.
struct AttentionPlan {
  /// What one launch works through: items of up to `queries` queries.
  struct Launch: Hashable {
    let queries: Int
    /// Whether an item has all chunks of its queries.
    let direct: Bool
  }

  /// `[entries, 3]`: row, tokens that it sees, first slot of its chunks.
  private(set) var rows: [Int32] = []
  /// `[segments, 5]`: start of the block table, first token, end, range of the item's queries.
  private(set) var segments: [Int32] = []
  /// `[items, 5]`: first entry, first query, queries, first segment, segments; in the order in which they should start.
  private(set) var items: [Launch: [Int32]] = [:]
  /// The same as they were found, with the products of queries and tokens that an item has.
  private var found: [Launch: [(work: Int, item: [Int32])]] = [:]
  /// The rows, as in `rows`, that are put together from slots.
  private(set) var merges: [Int32] = []
  private(set) var slots = 0

  private let shape: AttentionShape
  private let group: Int
  private let blockSize: Int

  /// A sequence in the order of the entries.
  private struct Member {
    let slice: SequenceSlice
    /// Start of its block table among all.
    let table: Int
    let entry: Int
    var limit: Int { slice.contextLength }
    var rows: Int { slice.rowCount }
  }

  /// - Parameters:
  ///   - group: query heads that share a key head.
  ///   - tables: where each sequence's block table starts.
  init(_ batch: BatchMetadata, tables: [Int], group: Int, kvHeads: Int, shape: AttentionShape) {
    self.shape = shape
    self.group = group
    blockSize = batch.blockSize
    let sequences = batch.sequences.indices.map { (slice: batch.sequences[$0], table: tables[$0]) }
    let long = sequences.filter { $0.slice.rowCount * group > shape.wideQueries / 2 && $0.slice.rowCount > 1 }
    let short = sequences.filter {
      $0.slice.rowCount * group <= shape.wideQueries / 2 || $0.slice.rowCount == 1
    }
    let tiles = long.reduce(0) { sum, sequence in
      sum + (sequence.slice.rowCount * group + shape.wideQueries - 1) / shape.wideQueries
    }
    let direct = tiles * kvHeads >= shape.directGroups
    for sequence in long {
      let member = append(sequence.slice, table: sequence.table, split: !direct)
      if direct { addWhole(member) } else { addChunks(member) }
    }
    // Sequences that begin alike stand together.
    let sorted = short.sorted { $0.slice.blockTable.lexicographicallyPrecedes($1.slice.blockTable) }
    let members = sorted.map { append($0.slice, table: $0.table, split: true) }
    let longest = members.map(\.limit).max() ?? 0
    for chunk in stride(from: 0, to: longest, by: shape.splitTokens) { addShared(members, chunk: chunk) }
    items = found.mapValues { found in
      let order = found.indices.sorted {
        let (a, b) = (found[$0].work, found[$1].work)
        return a == b ? $0 < $1 : shape.startsWithLightest == (a < b)
      }
      return order.flatMap { found[$0].item }
    }
    found = [:]
  }

  private mutating func append(_ slice: SequenceSlice, table: Int, split: Bool) -> Member {
    let member = Member(slice: slice, table: table, entry: rows.count / 3)
    for row in 0..<slice.rowCount {
      let limit = slice.contextLength - slice.rowCount + row + 1
      let entry = [Int32(slice.rowStart + row), Int32(limit), Int32(slots)]
      rows += entry
      if split, limit > shape.splitTokens {
        merges += entry
        slots += (limit + shape.splitTokens - 1) / shape.splitTokens
      }
    }
    return member
  }

  /// The sequence's queries in wide tiles, each with all its chunks.
  private mutating func addWhole(_ member: Member) {
    forTiles(of: member, from: 0) { plan, first, count, limit in
      plan.addItem(
        entry: member.entry, first, count, direct: true, segments: [(member, 0, limit, 0..<count)])
    }
  }

  private mutating func addChunks(_ member: Member) {
    for chunk in stride(from: 0, to: member.limit, by: shape.splitTokens) { addOwn(member, chunk: chunk) }
  }

  /// One chunk of one sequence.
  private mutating func addOwn(_ member: Member, chunk: Int) {
    forTiles(of: member, from: chunk) { plan, first, count, limit in
      let end = min(limit, chunk + plan.shape.splitTokens)
      plan.addItem(
        entry: member.entry, first, count, direct: false, segments: [(member, chunk, end, 0..<count)])
    }
  }

  /// Tiles of a sequence's queries of which the last one sees tokens from `chunk` on, with what it sees.
  private mutating func forTiles(
    of member: Member, from chunk: Int, _ body: (inout AttentionPlan, Int, Int, Int) -> Void
  ) {
    let total = member.rows * group
    let size = total <= shape.narrowQueries ? shape.narrowQueries : shape.wideQueries
    for first in stride(from: 0, to: total, by: size) {
      let count = min(size, total - first)
      let limit = member.limit - member.rows + (first + count - 1) / group + 1
      if limit > chunk { body(&self, first, count, limit) }
    }
  }

  /// One chunk of the sequences in `members`: runs of them that share most of it, others alone.
  private mutating func addShared(_ members: [Member], chunk: Int) {
    var start = 0
    while start < members.count {
      let first = members[start]
      var (end, shared, queries) = (start + 1, 0, first.rows * group)
      while end < members.count, first.limit > chunk, queries + members[end].rows * group <= shape.wideQueries
      {
        let common = sharedTokens(members[start...end], chunk: chunk, atMost: end > start + 1 ? shared : .max)
        let visible = members[start...end].map { min($0.limit - chunk, shape.splitTokens) }.max() ?? 0
        guard common * 2 >= visible, common > 0 else { break }
        (shared, queries, end) = (common, queries + members[end].rows * group, end + 1)
      }
      if end == start + 1 {
        if first.limit > chunk { addOwn(first, chunk: chunk) }
      } else {
        addRun(members[start..<end], chunk: chunk, shared: shared, queries: queries)
      }
      start = end
    }
  }

  /// Tokens of the chunk, from its first on, that lie in the same blocks for all `members`: whole tiles of keys.
  ///
  /// `known` is what all but the last have in common.
  private func sharedTokens(_ members: ArraySlice<Member>, chunk: Int, atMost known: Int) -> Int {
    guard let first = members.first, let last = members.last else { return 0 }
    let seen = min(first.limit, last.limit, chunk + shape.splitTokens)
    guard seen > chunk else { return 0 }
    var token = chunk
    while token < seen, first.slice.blockTable[token / blockSize] == last.slice.blockTable[token / blockSize]
    {
      token = (token / blockSize + 1) * blockSize
    }
    let common = min(token, seen) - chunk
    return min(known, common / shape.keys * shape.keys)
  }

  /// What the sequences share, then each one's own.
  private mutating func addRun(_ members: ArraySlice<Member>, chunk: Int, shared: Int, queries: Int) {
    guard let first = members.first else { return }
    var list = [(first, chunk, chunk + shared, 0..<queries)]
    var query = 0
    for member in members {
      let range = query..<(query + member.rows * group)
      let end = min(member.limit, chunk + shape.splitTokens)
      if end > chunk + shared { list.append((member, chunk + shared, end, range)) }
      query = range.upperBound
    }
    addItem(entry: first.entry, 0, queries, direct: false, segments: list)
  }

  private mutating func addItem(
    entry: Int, _ first: Int, _ count: Int, direct: Bool, segments list: [(Member, Int, Int, Range<Int>)]
  ) {
    let queries = count <= shape.narrowQueries && !direct ? shape.narrowQueries : shape.wideQueries
    let item = [
      Int32(entry), Int32(first), Int32(count), Int32(segments.count / 5), Int32(list.count),
    ]
    let work = list.reduce(0) { $0 + $1.3.count * ($1.2 - $1.1) }
    found[Launch(queries: queries, direct: direct), default: []].append((work, item))
    for (member, first, end, range) in list {
      segments += [
        Int32(member.table), Int32(first), Int32(end), Int32(range.lowerBound), Int32(range.upperBound),
      ]
    }
  }
}
