import Relevance

/// One training run as the report shows it: what its folder says, and what the files it names still say.
///
/// A run that is still going on lacks what is written at its end.
public struct ReportedRun: Sendable {
  /// The folder, as it was given.
  public let path: String
  /// The folder's name, with as much of its path as tells it from the other runs.
  public internal(set) var name: String
  /// `interaction` or `representation`; nil where no file says so.
  public internal(set) var student: String?
  public internal(set) var baseModel: String?
  /// The losses trained on, in the order hard, score, reasoning, then others.
  public internal(set) var losses: [String] = []
  public internal(set) var labels: LabelSet?
  public internal(set) var aspects: [String] = []
  /// Every setting with its place (`inputs.dev.path`) and value in words, sorted by place.
  public internal(set) var settings: [(key: String, value: String)] = []
  public internal(set) var log = RunLog()
  /// The dev set's; nil before training has ended.
  public internal(set) var evaluation: EvaluationReport<Evaluation>?
  var predictions: [String: StudentPrediction] = [:]
  /// Texts of the dev pairs by `pair_id`, where their file is still what it was.
  var pairs: [String: Pair] = [:]
  /// Human labels of dev and training pairs by `pair_id`, as far as the inputs still have them.
  var gold: [String: String] = [:]
  var teachers: [TeacherRecords] = []
  /// Sentences about what could not be read.
  public internal(set) var notes: [String] = []

  init(path: String, name: String) {
    self.path = path
    self.name = name
  }

  /// Takes a file of teacher records, and from the human labels those of its pairs.
  mutating func add(_ file: TeacherRecords) {
    guard !teachers.contains(where: { $0.path == file.path }) else { return }
    var file = file
    for record in file.records {
      file.gold[record.pairID] = gold[record.pairID].flatMap { labels?.index(of: $0) }
    }
    teachers.append(file)
  }

  /// Says where there are fewer predictions than were evaluated.
  mutating func noteMissingPredictions() {
    guard let evaluated = evaluation?.overall.counts.pairs, !predictions.isEmpty,
      predictions.count < evaluated
    else {
      return
    }
    notes.append(
      "dev_predictions.jsonl has \(predictions.count) predictions, fewer than the \(evaluated) that evaluation.json is of."
    )
  }

  /// Says what a report lacks where the teacher has not judged the pairs that the student was measured on.
  mutating func noteMissingVerdicts() {
    guard !predictions.isEmpty, !predictions.keys.contains(where: { teacherRecord($0) != nil }) else {
      return
    }
    notes.append(
      "No file of the run has the teacher's records of the dev pairs, so agreement by aspect and disagreements are not "
        + "shown: label the dev pairs with 'retort label' and pass the records with --teacher.")
  }

  /// The losses as the report names them: `hard + score`.
  var lossName: String { losses.isEmpty ? "losses not stated" : losses.joined(separator: " + ") }
}

/// What a student says of a dev pair.
struct StudentPrediction: Sendable, Equatable {
  let prediction: Prediction
  /// By aspect; nil where it gives none.
  let verdicts: [String: Verdict]
}

/// A training run's log.
public struct RunLog: Sendable {
  /// One step of the optimiser.
  public struct Step: Sendable, Equatable {
    public let step: Double
    public let epoch: Double?
    /// Nil where it was not finite.
    public let loss: Double?
    /// Unweighted, by the loss's name.
    public let parts: [String: Double]
    public let learningRate: Double?
    public let gradientNorm: Double?
    public let rows: Double?
    public let tokens: Double?
  }

  /// The dev metrics after a step.
  public struct Check: Sendable, Equatable {
    public let step: Double
    public let epoch: Double?
    public let metrics: [String: Double]
  }

  public internal(set) var steps: [Step] = []
  public internal(set) var checks: [Check] = []
  /// Seconds a step, where they were kept.
  public internal(set) var seconds: [Double] = []

  public init() {}

  /// The first step of each epoch but the first.
  var epochStarts: [(step: Double, epoch: Int)] {
    var result: [(Double, Int)] = []
    var current: Int?
    for step in steps {
      guard let value = step.epoch, abs(value) < 1e9 else { continue }
      let epoch = Int(value.rounded(.down))
      if let current, epoch > current { result.append((step.step, epoch)) }
      current = max(epoch, current ?? epoch)
    }
    return result
  }
}
