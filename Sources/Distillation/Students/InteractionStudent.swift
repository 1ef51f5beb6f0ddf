import Basics
import ModelFormats
import Relevance
import Tensors
import Tokenizers
import Transformers

/// A cross-encoder: `[CLS] query [SEP] item [SEP]`, the pooled [CLS] state, a head for the labels and one an aspect.
public final class InteractionStudent: Student {
  public let kind = StudentKind.interaction
  public let shape: StudentShape
  public let encoder: TrainableBert
  public let modelHeads: [HeadTensor]
  public let extraHeads: [HeadTensor]
  private let pooler: TrainableBert.Linear
  private let classifier: TrainableBert.Linear
  private let verdicts: TrainableBert.Linear

  /// Reads the encoder, and its pooler where it has one; the other heads begin at random.
  ///
  /// - Throws: what reading the folder throws.
  public init(
    _ source: EncoderSource, shape: StudentShape, seed: UInt64, layerDecay: Float = 1,
    on backend: any TrainingBackend
  ) throws {
    self.shape = shape
    encoder = try TrainableBert(source, layerDecay: layerDecay, on: backend)
    let width = encoder.configuration.hiddenSize
    let heads = HeadInitializer(backend: backend, seed: seed)
    func linear(_ name: String, out: Int) throws -> [HeadTensor] {
      [
        try heads.normal(name + ".weight", [out, width], deviation: 0.02),
        try heads.constant(name + ".bias", [out], 0),
      ]
    }
    let pooler =
      try TrainableBert.pooler(source, on: backend).map {
        [
          HeadTensor(name: "pooler.dense.weight", parameter: $0.weight),
          HeadTensor(name: "pooler.dense.bias", parameter: $0.bias),
        ]
      } ?? linear("pooler.dense", out: width)
    let classifier = try linear("classifier", out: shape.labels.count)
    let verdicts = try linear("aspect_classifier", out: 3 * max(1, shape.aspects.count))
    modelHeads = pooler + classifier
    extraHeads = shape.aspects.isEmpty ? [] : verdicts
    self.pooler = TrainableBert.Linear(weight: pooler[0].parameter, bias: pooler[1].parameter)
    self.classifier = TrainableBert.Linear(weight: classifier[0].parameter, bias: classifier[1].parameter)
    self.verdicts = TrainableBert.Linear(weight: verdicts[0].parameter, bias: verdicts[1].parameter)
  }

  public func parameters(_ settings: LossSettings) -> [Parameter] {
    var used = encoder.parameters + [pooler.weight, pooler.bias]
    if settings.counts(.hard) || settings.counts(.score) { used += [classifier.weight, classifier.bias] }
    if settings.counts(.reasoning), !shape.aspects.isEmpty { used += [verdicts.weight, verdicts.bias] }
    return used
  }

  public func texts(query: String, item: String, tokenizer: WordPieceTokenizer, maximumLength: Int) throws
    -> [EncodedText]
  {
    [try tokenizer.encode(query, pair: item, maximumLength: maximumLength)]
  }

  public func isJudged(_ verdict: Verdict) -> Bool { true }

  public func pass(_ rows: [TrainingRow], _ dropout: DropoutSites, on tape: Tape) throws -> StudentPass {
    var dropout = dropout
    let texts = rows.flatMap(\.texts)
    let batch = try tape.backend.prepare(
      PackedBatch(tokenIDs: texts.map(\.ids), typeIDs: texts.map(\.typeIDs)))
    let first = try encoder.forward(batch, onlyFirst: true, dropout: &dropout, on: tape)
    let pooled = try dropout(tape.tanh(tape.linear(first, pooler)), tape)
    return StudentPass(
      labels: try tape.linear(pooled, classifier), order: Array(0..<shape.labels.count),
      aspects: .verdicts(try tape.reshape(tape.linear(pooled, verdicts), width: 3)), cosine: nil)
  }
}
