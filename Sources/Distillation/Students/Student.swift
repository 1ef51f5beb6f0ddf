import Basics
import ModelFormats
import Relevance
import Tensors
import Tokenizers
import Transformers

extension StudentKind {
  /// A student of this kind that begins with a folder's encoder.
  ///
  /// - Throws: what reading the folder throws.
  public func make(
    _ source: EncoderSource, shape: StudentShape, seed: UInt64, layerDecay: Float = 1,
    on backend: any TrainingBackend
  ) throws -> any Student {
    switch self {
    case .interaction:
      try InteractionStudent(source, shape: shape, seed: seed, layerDecay: layerDecay, on: backend)
    case .representation:
      try RepresentationStudent(source, shape: shape, seed: seed, layerDecay: layerDecay, on: backend)
    }
  }
}

/// What a student is made for; the same for every step of its training.
public struct StudentShape: Sendable, Hashable {
  public let labels: LabelSet
  /// Names of the aspects that verdicts are learnt for, in the order of the heads.
  public let aspects: [String]
  /// Rows of an aspect's slot matrices.
  public var slotWidth = 32

  public init(labels: LabelSet, aspects: [String], slotWidth: Int = 32) {
    self.labels = labels
    self.aspects = aspects
    self.slotWidth = slotWidth
  }

  /// The place of each label among the ranks, 0 for the worst.
  var ranks: [Int] {
    let rises = (labels.labels.last?.gain ?? 0) > (labels.labels.first?.gain ?? 0)
    return labels.labels.indices.map { rises ? $0 : labels.count - 1 - $0 }
  }
}

/// A head's tensor as it is stored beside the encoder.
public struct HeadTensor: Sendable {
  public let name: String
  public let parameter: Parameter
}

/// A model in training: an encoder with heads.
public protocol Student: AnyObject {
  var kind: StudentKind { get }
  var shape: StudentShape { get }
  var encoder: TrainableBert { get }
  /// Heads that belong to the Hugging Face model itself, by the names it gives them.
  var modelHeads: [HeadTensor] { get }
  /// Heads of this project's own.
  var extraHeads: [HeadTensor] { get }
  /// Tensors that the counted terms reach.
  func parameters(_ settings: LossSettings) -> [Parameter]
  /// Tokens of a pair as this student reads it, in training as at work: special tokens written in a text count as
  /// such, as transformers has it.
  func texts(query: String, item: String, tokenizer: WordPieceTokenizer, maximumLength: Int) throws
    -> [EncodedText]
  /// Runs rows forward.
  ///
  /// - Throws: what the backend throws.
  func pass(_ rows: [TrainingRow], _ dropout: DropoutSites, on tape: Tape) throws -> StudentPass
  /// Whether a verdict teaches this student anything.
  func isJudged(_ verdict: Verdict) -> Bool
}

/// What a student says of rows.
public struct StudentPass {
  /// Logits (or log-probabilities) of the labels `[rows, K]`, in the order of `order`.
  public let labels: Variable
  /// The label that each column of `labels` stands for.
  public let order: [Int]
  public let aspects: Aspects
  /// The cosine of query and item `[rows, 1]`, of a representation student.
  public let cosine: Variable?

  /// Logits of the aspects, in the shape that the student's head gives them.
  public enum Aspects {
    /// `[rows · aspects, 3]`, columns in the order of `Verdict.allCases`.
    case verdicts(Variable)
    /// `[rows, aspects]`: the logit of "match".
    case matches(Variable)
  }
}

/// Draws the first values of heads: normal numbers from Philox, keyed by the seed and the tensor's name.
struct HeadInitializer {
  let backend: any TrainingBackend
  let seed: UInt64

  func normal(_ name: String, _ shape: Shape, deviation: Double, seededAs alias: String? = nil) throws
    -> HeadTensor
  {
    let stream = (alias ?? name).utf8.reduce(0xcbf2_9ce4_8422_2325 as UInt64) {
      ($0 ^ UInt64($1)) &* 0x100_0000_01b3
    }
    let random = Philox(key: seed)
    let values = (0..<shape.count).map { index in
      let radius = (-2 * Basics.logarithm(random.uniform(UInt64(2 * index), stream))).squareRoot()
      let angle = 2 * Double.pi * random.uniform(UInt64(2 * index + 1), stream)
      return Float(deviation * radius * Basics.sineAndCosine(angle).cosine)
    }
    return try tensor(name, shape, values)
  }

  func constant(_ name: String, _ shape: Shape, _ value: Double, rateFactor: Float = 1) throws -> HeadTensor {
    try tensor(name, shape, [Float](repeating: Float(value), count: shape.count), rateFactor: rateFactor)
  }

  func tensor(_ name: String, _ shape: Shape, _ values: [Float], rateFactor: Float = 1) throws -> HeadTensor {
    let value = try backend.upload(values, shape: shape)
    return HeadTensor(
      name: name,
      parameter: try Parameter(name, value, decays: shape.rank > 1, rateFactor: rateFactor, on: backend))
  }
}
