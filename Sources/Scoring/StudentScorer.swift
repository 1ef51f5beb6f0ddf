import Basics
import ModelFormats
import Tensors

/// Scores query–item pairs, whichever kind of student does it.
public protocol StudentScorer: Sendable {
  /// Names of the labels, in the order of the probabilities.
  var labels: [String] { get }
  /// Tokens that texts are cut to, special ones included.
  var maximumLength: Int { get }
  /// Label probabilities of pairs; a pair's have the same bits in any company.
  ///
  /// - Throws: what the backend throws.
  func scores(_ pairs: [(query: String, item: String)]) throws -> StudentScores
}

/// What a student says of pairs, in their order.
public struct StudentScores: Sendable {
  /// `[pairs, labels]`.
  public var probabilities: [Float]
  /// The cosine of query and item a pair, of a representation student.
  public var cosines: [Float]?
  /// Tokens that went through the encoder, special ones included.
  public var tokens: Int
}

/// Opens students by what their folders say.
public enum StudentScorers {
  /// Opens a folder that `retort distill` has written, of either kind, or a Hugging Face folder with a
  /// `BertForSequenceClassification`.
  ///
  /// - Parameter maximumLength: tokens that texts are cut to; by default what the student was trained with.
  /// - Throws: what ``PairScorer`` and ``TwoTowerScorer`` throw; `malformedFile` where `retort.json` and
  ///   `config.json` name different labels, or the heads are not those that it names.
  public static func open(
    folder: String, backend: any Backend, compute: ComputeMode = .auto, maximumLength: Int? = nil,
    batchTokens: Int = PairScorer.defaultBatchTokens
  ) throws -> any StudentScorer {
    let description = try StudentDescription.find(folder: folder)
    if let description, description.student == .representation {
      return try TwoTowerScorer(
        folder: folder, description, backend: backend, compute: compute, maximumLength: maximumLength,
        batchTokens: batchTokens)
    }
    let scorer = try PairScorer(
      folder: folder, backend: backend, compute: compute,
      maximumLength: maximumLength ?? description?.maximumLength, batchTokens: batchTokens)
    if let description, description.labels.map(\.name) != scorer.labels {
      throw RetortError(
        .malformedFile,
        "the labels are \(description.labels.map(\.name).joined(separator: ", ")), those of config.json "
          + scorer.labels.joined(separator: ", "),
        file: folder + "/" + StudentDescription.fileName, field: "labels",
        remedy: "Put back the files that 'retort distill' wrote together.")
    }
    if let description {
      try StudentHeads.check(folder: folder, description, width: scorer.width)
    }
    return scorer
  }
}

extension PairScorer: StudentScorer {
  public func scores(_ pairs: [(query: String, item: String)]) throws -> StudentScores {
    let result = try score(pairs)
    return StudentScores(probabilities: result.probabilities, cosines: nil, tokens: result.tokens)
  }
}
