import Basics
import Relevance
import Tokenizers

/// Pairs of one or several files, joined with a teacher's records.
public struct TrainingData: Sendable {
  public let rows: [TrainingRow]
  public let counts: Counts
  /// `pair_id`s of records that no pair has, the first few.
  public let unmatched: [String]
  /// In the order they were given.
  public let files: [File]
  /// What the teacher's distributions went through, where that was asked for.
  public let calibration: TeacherCalibration?
  /// The distinct queries, as ``queryKey(_:)`` has them.
  let queries: Set<String>

  /// A file that was read.
  public struct File: Sendable, Hashable {
    public let sha256: String
    /// Pairs that were taken from it.
    public let pairs: Int
  }

  /// What was read and what of it trains.
  public struct Counts: Sendable, Hashable, Codable {
    public var pairs = 0
    /// With a human label.
    public var labelled = 0
    /// With a teacher's record.
    public var taught = 0
    /// With a verdict that the student can learn from.
    public var reasoned = 0
    /// With neither a label nor a record, where those count: left out.
    public var empty = 0
    /// Records that no pair has.
    public var unmatchedRecords = 0

    enum CodingKeys: String, CodingKey {
      case pairs, labelled, taught, reasoned, empty
      case unmatchedRecords = "unmatched_records"
    }

    public init() {}
  }

  static let shownUnmatched = 5

  /// Reads and tokenises.
  ///
  /// - Parameters:
  ///   - calibratesTeacher: whether the teacher's distributions are fitted to the labels first.
  ///   - limit: pairs that are read at most.
  ///   - progress: called with the number of pairs so far.
  /// - Throws: `malformedRow` with file, line and field for a row that cannot be read, a label outside the set, or
  ///   `pair_id`s that stand twice, counted and listed; `invalidArgument` where a file has no pairs, no record is of a
  ///   pair, or no row is left to train on.
  public init(
    files: [String], teacher: TeacherFile?, student: any Student, settings: LossSettings,
    tokenizer: WordPieceTokenizer, maximumLength: Int, calibratesTeacher: Bool = false, limit: Int? = nil,
    progress: (Int) -> Void = { _ in }
  ) throws {
    var join = TrainingJoin(
      teacher: teacher, student: student, settings: settings, tokenizer: tokenizer,
      maximumLength: maximumLength, limit: limit ?? .max)
    self.files = try files.map { path in
      let before = join.counts.pairs
      try join.read(path, progress: progress)
      return File(sha256: try SHA256.hash(file: path), pairs: join.counts.pairs - before)
    }
    let counts = join.counts
    if let teacher, counts.taught == 0, counts.pairs > 0 {
      throw RetortError(
        .invalidArgument,
        "none of \(teacher.judgements.count) records is of one of the \(counts.pairs) pairs",
        file: teacher.path, field: "pair_id",
        remedy: "Give the teacher's records of these pairs, or --losses hard without --teacher.")
    }
    guard !join.rows.isEmpty else {
      throw RetortError(
        .invalidArgument, "none of \(counts.pairs) pairs has what the losses need", file: files.first,
        field: "train", remedy: "Give pairs with a label, or --teacher records of these pairs.")
    }
    let lost = teacher.map { $0.judgements.keys.filter { !join.seen.contains($0) }.sorted() } ?? []
    join.counts.unmatchedRecords = lost.count
    calibration = calibratesTeacher ? try TeacherCalibration(join.rows) : nil
    rows = try calibration?.apply(to: join.rows, student.shape.labels) ?? join.rows
    (self.counts, queries) = (join.counts, join.queries)
    unmatched = Array(lost.prefix(Self.shownUnmatched))
  }

  /// What tells queries apart: their words, whatever their case and the space between them.
  static func queryKey(_ pair: Pair) -> String {
    pair.query.lowercased().split(whereSeparator: \.isWhitespace).joined(separator: " ")
  }

  /// Keeps the place of a row whose id stood before.
  ///
  /// - Throws: what is wrong with any other row.
  static func note(_ error: RowError, in twice: inout [GapList.Entry]) throws {
    guard let pairID = error.pairID else { throw error.reason }
    twice.append(GapList.Entry(pairID: pairID, line: error.line))
  }

  /// A line of a file.
  struct Place {
    let file: String
    let line: Int

    func error(_ message: String, _ field: String, _ remedy: String) -> RetortError {
      RetortError(
        .malformedRow, message, file: file, field: field, position: "line \(line)", remedy: remedy)
    }

    /// The place of the pair's label in the set.
    func label(_ pair: Pair, _ labels: LabelSet) throws -> Int? {
      guard let name = pair.label else { return nil }
      guard let index = labels.index(of: name) else {
        throw error(
          "the label \"\(name)\" is not in the label set (\(labels.names.joined(separator: ", ")))", "label",
          "Correct the label, or give the --labels of this file.")
      }
      return index
    }
  }
}

/// Held-out pairs with gold labels.
public struct HeldOutPairs: Sendable {
  public let path: String
  public let hash: String
  public let pairs: [Pair]
  public let gold: [GoldPair]
  public let rows: [TrainingRow]

  /// Reads and tokenises.
  ///
  /// - Throws: what ``GoldFile`` throws; `malformedRow` for a row that cannot be read or has no label;
  ///   `invalidArgument` where there is none.
  public init(
    path: String, student: any Student, tokenizer: WordPieceTokenizer, maximumLength: Int
  ) throws {
    let file = try GoldFile(path: path, labels: student.shape.labels)
    var twice: [GapList.Entry] = []
    for row in file.badRows { try TrainingData.note(row, in: &twice) }
    if let error = GapList.repeated(
      twice, file: path, rows: "rows", remedy: "Give every pair an id of its own.")
    {
      throw error
    }
    if let first = file.unlabelled.first {
      throw RetortError(
        .malformedRow, "\(file.unlabelled.count) rows have no gold label", file: path, field: "label",
        position: first.line.map { "line \($0)" }, remedy: "Give them a label or leave them out.")
    }
    guard !file.pairs.isEmpty else {
      throw RetortError(
        .invalidArgument, "the file has no pairs", file: path, field: "dev",
        remedy: "Give pairs with query, title and label.")
    }
    let reader = try PairReader(path: path)
    var pairs: [Pair] = []
    while let row = try reader.next() {
      if case .pair(let pair, _) = row { pairs.append(pair) }
    }
    self.path = path
    self.pairs = pairs
    gold = file.pairs
    hash = try SHA256.hash(file: path)
    rows = try pairs.map { pair in
      TrainingRow(
        pairID: pair.pairID,
        texts: try student.texts(
          query: pair.query, item: pair.title, tokenizer: tokenizer, maximumLength: maximumLength),
        label: nil, teacher: nil)
    }
  }
}
