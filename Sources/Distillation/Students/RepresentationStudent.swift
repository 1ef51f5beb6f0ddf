import Basics
import Foundation
import ModelFormats
import Relevance
import Tensors
import Tokenizers
import Transformers

/// Two towers that share one encoder: unit vectors of query and item, an ordinal head on their cosine, and a slot an
/// aspect in which the two are compared again.
public final class RepresentationStudent: Student {
  public let kind = StudentKind.representation
  public let shape: StudentShape
  public let encoder: TrainableBert
  public let modelHeads: [HeadTensor] = []
  public let extraHeads: [HeadTensor]
  private let ordinal: Parameter
  private let querySlots: Parameter
  private let itemSlots: Parameter
  private let slotScale: Parameter
  private let slotBias: Parameter

  /// What the learning rate of a head's few numbers is multiplied by: they must move by whole units, weights by
  /// hundredths.
  public static let headRateFactor: Float = 100

  /// Reads the encoder; the heads begin as docs/method.md says.
  ///
  /// - Throws: what reading the folder throws.
  public init(
    _ source: EncoderSource, shape: StudentShape, seed: UInt64, layerDecay: Float = 1,
    headRateFactor: Float = RepresentationStudent.headRateFactor, on backend: any TrainingBackend
  ) throws {
    self.shape = shape
    encoder = try TrainableBert(source, layerDecay: layerDecay, on: backend)
    let width = encoder.configuration.hiddenSize
    let heads = HeadInitializer(backend: backend, seed: seed)
    let count = shape.labels.count
    let start = [log(10.0), 0.5 - 0.1 * Double(count - 2)] + [Double](repeating: log(0.2), count: count - 2)
    let ordinal = try heads.tensor("ordinal", [count], start.map(Float.init), rateFactor: headRateFactor)
    let aspects = max(1, shape.aspects.count)
    let slots: Shape = [aspects * shape.slotWidth, width]
    let deviation = 1 / Double(shape.slotWidth).squareRoot()
    let aspectHeads = [
      try heads.normal("aspect_query.weight", slots, deviation: deviation, seededAs: "aspect_slots"),
      try heads.normal("aspect_item.weight", slots, deviation: deviation, seededAs: "aspect_slots"),
      try heads.constant("aspect_scale", [aspects], 10, rateFactor: headRateFactor),
      try heads.constant("aspect_bias", [aspects], 5, rateFactor: headRateFactor),
    ]
    extraHeads = [ordinal] + (shape.aspects.isEmpty ? [] : aspectHeads)
    self.ordinal = ordinal.parameter
    querySlots = aspectHeads[0].parameter
    itemSlots = aspectHeads[1].parameter
    slotScale = aspectHeads[2].parameter
    slotBias = aspectHeads[3].parameter
  }

  public func parameters(_ settings: LossSettings) -> [Parameter] {
    var used = encoder.parameters
    if settings.counts(.hard) || settings.counts(.score) { used.append(ordinal) }
    if settings.counts(.reasoning), !shape.aspects.isEmpty {
      used += [querySlots, itemSlots, slotScale, slotBias]
    }
    return used
  }

  public func texts(query: String, item: String, tokenizer: WordPieceTokenizer, maximumLength: Int) throws
    -> [EncodedText]
  {
    try [query, item].map { try tokenizer.encode($0, maximumLength: maximumLength) }
  }

  /// A tower never sees the pair, so "unspecified", which is about both, teaches it nothing.
  public func isJudged(_ verdict: Verdict) -> Bool { verdict != .unspecified }

  public func pass(_ rows: [TrainingRow], _ dropout: DropoutSites, on tape: Tape) throws -> StudentPass {
    var dropout = dropout
    // All queries, then all items.
    let texts = rows.map { $0.texts[0] } + rows.map { $0.texts[1] }
    let batch = try tape.backend.prepare(
      PackedBatch(tokenIDs: texts.map(\.ids), typeIDs: texts.map(\.typeIDs)))
    let hidden = try encoder.forward(batch, onlyFirst: false, dropout: &dropout, on: tape)
    let units = try tape.l2Normalize(tape.meanPool(hidden, batch), epsilon: 1e-12)
    let count = Int32(rows.count)
    let query = try tape.gatherRows(units, Array(0..<count))
    let item = try tape.gatherRows(units, Array(count..<2 * count))
    let cosine = try tape.rowDots(query, item)
    // Ranks run from the worst label to the best.
    let ranks = shape.ranks
    let order = ranks.indices.sorted { ranks[$0] < ranks[$1] }
    let dots = try tape.rowDots(
      tape.linear(query, tape.parameter(querySlots), bias: nil),
      tape.linear(item, tape.parameter(itemSlots), bias: nil), groups: max(1, shape.aspects.count))
    return StudentPass(
      labels: try tape.ordinalLogits(cosine, parameters: tape.parameter(ordinal)), order: order,
      aspects: .matches(
        try tape.scaleColumns(dots, by: tape.parameter(slotScale), less: tape.parameter(slotBias))),
      cosine: cosine)
  }
}
