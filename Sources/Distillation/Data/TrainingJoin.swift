import Basics
import Relevance
import Tokenizers

/// Reads pairs file by file, finds the teacher's record of each, and keeps those that a counted term can use.
struct TrainingJoin {
  let teacher: TeacherFile?
  let student: any Student
  let settings: LossSettings
  let tokenizer: WordPieceTokenizer
  let maximumLength: Int
  /// Pairs that are read at most, over all files.
  let limit: Int
  private(set) var rows: [TrainingRow] = []
  var counts = TrainingData.Counts()
  private(set) var seen: Set<String> = []
  private(set) var queries: Set<String> = []

  init(
    teacher: TeacherFile?, student: any Student, settings: LossSettings, tokenizer: WordPieceTokenizer,
    maximumLength: Int, limit: Int
  ) {
    self.teacher = teacher
    self.student = student
    self.settings = settings
    self.tokenizer = tokenizer
    self.maximumLength = maximumLength
    self.limit = limit
  }

  /// Reads a file.
  ///
  /// - Throws: as ``TrainingData``.
  mutating func read(_ path: String, progress: (Int) -> Void) throws {
    let reader = try PairReader(path: path)
    var (twice, isEmpty): ([GapList.Entry], Bool) = ([], counts.pairs < limit)
    while counts.pairs < limit, let row = try reader.next() {
      isEmpty = false
      guard case .pair(let pair, let line) = row else {
        if case .error(let error) = row { try TrainingData.note(error, in: &twice) }
        continue
      }
      guard seen.insert(pair.pairID).inserted else {
        twice.append(GapList.Entry(pairID: pair.pairID, line: line))
        continue
      }
      if try add(pair, at: TrainingData.Place(file: path, line: line)), rows.count % 1024 == 0 {
        progress(rows.count)
      }
    }
    try Self.refuse(twice, isEmpty: isEmpty, path)
  }

  /// Counts a pair; whether it is one to train on.
  private mutating func add(_ pair: Pair, at place: TrainingData.Place) throws -> Bool {
    counts.pairs += 1
    queries.insert(TrainingData.queryKey(pair))
    let label = try place.label(pair, student.shape.labels)
    let judgement = teacher?.judgements[pair.pairID].map { judgement in
      TrainingRow.Teacher(
        judgement.distribution, verdicts: student.shape.aspects.map { judgement.verdicts[$0] })
    }
    let isReasoned = judgement?.verdicts.contains { $0.map(student.isJudged) ?? false } ?? false
    counts.labelled += label == nil ? 0 : 1
    counts.taught += judgement == nil ? 0 : 1
    counts.reasoned += isReasoned ? 1 : 0
    let trains =
      settings.counts(.hard) && label != nil || settings.counts(.score) && judgement != nil
      || settings.counts(.reasoning) && isReasoned
    guard trains else {
      counts.empty += 1
      return false
    }
    rows.append(
      TrainingRow(
        pairID: pair.pairID,
        texts: try student.texts(
          query: pair.query, item: pair.title, tokenizer: tokenizer, maximumLength: maximumLength),
        label: label, teacher: judgement))
    return true
  }

  private static func refuse(_ twice: [GapList.Entry], isEmpty: Bool, _ path: String) throws {
    if let error = GapList.repeated(
      twice, file: path, rows: "rows", remedy: "Give every pair an id of its own, over all files.")
    {
      throw error
    }
    guard isEmpty else { return }
    throw RetortError(
      .invalidArgument, "the file has no pairs", file: path, field: "train",
      remedy: "Give pairs with query and title, or leave the file out.")
  }
}
