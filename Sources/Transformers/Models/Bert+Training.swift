import Basics
import ModelFormats
import Tensors

/// BERT on a tape: the program of ``Bert`` with weights that change, dropout, and only such fused steps as a
/// gradient passes through.
public final class TrainableBert {
  /// A weight matrix with its bias.
  public struct Linear: Sendable {
    public let weight: Parameter
    public let bias: Parameter

    public init(weight: Parameter, bias: Parameter) {
      self.weight = weight
      self.bias = bias
    }
  }

  struct Layer: Sendable {
    let queryKeyValue: Linear
    let attentionOutput: Linear
    let attentionNorm: Linear
    let up: Linear
    let down: Linear
    let outputNorm: Linear
  }

  /// Where a tensor of the Hugging Face layout lies: rows of a parameter.
  public struct Stored: Sendable {
    /// Without the encoder's prefix.
    public let name: String
    public let parameter: Parameter
    public let rows: Range<Int>
    public let shape: Shape
  }

  public let configuration: EncoderConfiguration
  /// All trained tensors; query, key and value of a layer are one.
  public let parameters: [Parameter]
  /// All tensors as a folder stores them.
  public let stored: [Stored]
  private let tables: [Parameter]
  private let embeddingNorm: Linear
  private let layers: [Layer]

  /// Reads a folder's weights.
  ///
  /// - Parameter layerDecay: what learning rates are multiplied by for each layer between a weight and the output.
  /// - Throws: `unsupported` for another architecture; `malformedFile` or `shapeMismatch` for a bad folder.
  public init(_ source: EncoderSource, layerDecay: Float = 1, on backend: any TrainingBackend) throws {
    let c = source.configuration
    guard c.architecture == "bert" else {
      throw RetortError(
        .unsupported, "training of a “\(c.architecture)”", file: source.folder, field: "model_type",
        remedy: "Begin with a BERT encoder such as all-MiniLM-L6-v2.")
    }
    var loader = TrainableLoader(source: source, backend: backend)
    loader.rateFactor = TrainableLoader.power(layerDecay, c.layers + 1)
    let width = c.hiddenSize
    tables = try [
      ("word_embeddings", c.vocabularySize), ("position_embeddings", c.longestInput),
      ("token_type_embeddings", c.segments),
    ].map { try loader.matrix(["embeddings.\($0).weight"], rows: $1, width: width) }
    embeddingNorm = try loader.norm("embeddings.LayerNorm", width)
    layers = try (0..<c.layers).map { index in
      let name = "encoder.layer.\(index)"
      loader.rateFactor = TrainableLoader.power(layerDecay, c.layers - index)
      return Layer(
        queryKeyValue: try loader.linear(
          ["query", "key", "value"].map { "\(name).attention.self.\($0)" }, out: width, in: width),
        attentionOutput: try loader.linear(["\(name).attention.output.dense"], out: width, in: width),
        attentionNorm: try loader.norm("\(name).attention.output.LayerNorm", width),
        up: try loader.linear(["\(name).intermediate.dense"], out: c.intermediateSize, in: width),
        down: try loader.linear(["\(name).output.dense"], out: width, in: c.intermediateSize),
        outputNorm: try loader.norm("\(name).output.LayerNorm", width))
    }
    configuration = c
    parameters = loader.parameters
    stored = loader.stored
  }

  /// The last layer's hidden states `[rows, hiddenSize]`.
  ///
  /// - Parameter onlyFirst: whether only each sequence's first row, that of [CLS], is wanted: `[sequences, hiddenSize]`.
  /// - Throws: `invalidArgument` for ids, positions or segments outside the tables.
  public func forward(
    _ batch: any PreparedPackedBatch, onlyFirst: Bool, dropout: inout DropoutSites, on tape: Tape
  ) throws -> Variable {
    let c = configuration
    let form: GELU.Form = c.activation == .gelu ? .exact : .tanh
    let packed = batch.packed
    try check(packed)
    let rows = try zip(tables, [packed.tokenIDs, packed.positions, packed.typeIDs]).map {
      try tape.gatherRows(tape.parameter($0), $1)
    }
    var hidden = try norm(tape.add(tape.add(rows[0], rows[1]), rows[2]), embeddingNorm, tape)
    hidden = try dropout(hidden, tape)
    for (index, layer) in layers.enumerated() {
      let attended: Variable
      if onlyFirst, index == layers.count - 1 {
        // Nothing reads the other rows of the last layer.
        let first = try tape.gatherRows(hidden, Array(packed.starts.dropLast()))
        attended = try attendFirst(first, hidden, layer.queryKeyValue, batch, tape)
        hidden = first
      } else {
        attended = try tape.encoderAttention(
          tape.linear(hidden, layer.queryKeyValue), heads: c.heads, keyHeads: c.heads,
          scale: 1 / Float(c.headDim).squareRoot(), causal: false, batch)
      }
      hidden = try residual(
        attended, layer.attentionOutput, hidden, layer.attentionNorm, dropout.next(), tape)
      let inner = try tape.linearGELU(
        hidden, tape.parameter(layer.up.weight), bias: tape.parameter(layer.up.bias), form)
      hidden = try residual(inner, layer.down, hidden, layer.outputNorm, dropout.next(), tape)
    }
    return hidden
  }

  /// The dense layer that a model with a head puts on the [CLS] state, where the folder has one.
  public static func pooler(_ source: EncoderSource, on backend: any TrainingBackend) throws -> Linear? {
    guard source.hasTensor("pooler.dense.weight") else { return nil }
    let width = source.configuration.hiddenSize
    var loader = TrainableLoader(source: source, backend: backend)
    return try loader.linear(["pooler.dense"], out: width, in: width)
  }

  /// Attention of the sequences' first rows alone.
  private func attendFirst(
    _ first: Variable, _ hidden: Variable, _ joint: Linear, _ batch: any PreparedPackedBatch, _ tape: Tape
  ) throws -> Variable {
    let c = configuration
    func linear(_ x: Variable, _ rows: Range<Int>) throws -> Variable {
      try tape.linear(
        x, tape.parameter(joint.weight, rows: rows), bias: tape.parameter(joint.bias, rows: rows))
    }
    return try tape.firstRowAttention(
      linear(first, 0..<c.hiddenSize), linear(hidden, c.hiddenSize..<3 * c.hiddenSize), heads: c.heads,
      scale: 1 / Float(c.headDim).squareRoot(), batch)
  }

  /// The norm of `hidden + dropout(linear(x))`.
  private func residual(
    _ x: Variable, _ linear: Linear, _ hidden: Variable, _ norm: Linear, _ draws: DropoutDraws, _ tape: Tape
  ) throws -> Variable {
    try tape.linearResidualNorm(
      x, weight: tape.parameter(linear.weight), bias: tape.parameter(linear.bias), residual: hidden,
      normWeight: tape.parameter(norm.weight), normBias: tape.parameter(norm.bias),
      epsilon: configuration.layerNormEpsilon, draws)
  }

  private func norm(_ x: Variable, _ norm: Linear, _ tape: Tape) throws -> Variable {
    try tape.layerNorm(
      x, weight: tape.parameter(norm.weight), bias: tape.parameter(norm.bias),
      epsilon: configuration.layerNormEpsilon)
  }

  private func check(_ batch: PackedBatch) throws {
    let limits = [
      ("token id", batch.tokenIDs, configuration.vocabularySize),
      ("position", batch.positions, configuration.longestInput),
      ("segment", batch.typeIDs, configuration.segments),
    ]
    for (what, ids, limit) in limits {
      guard let index = ids.firstIndex(where: { $0 < 0 || Int($0) >= limit }) else { continue }
      throw RetortError(
        .invalidArgument, "\(what) \(ids[index]) is outside the table of \(limit) rows",
        position: "row \(index)",
        remedy: "Use the tokenizer that belongs to the model, and texts no longer than its positions.")
    }
  }
}

extension Tape {
  /// `x Wᵀ + bias`: `[rows, K] → [rows, N]`.
  public func linear(_ x: Variable, _ layer: TrainableBert.Linear) throws -> Variable {
    try linear(x, parameter(layer.weight), bias: parameter(layer.bias))
  }
}

/// The places of a model where dropout acts, counted off as a pass goes through them.
public struct DropoutSites {
  public let rate: Float
  public let key: UInt64
  private var stream: UInt64

  /// - Parameters:
  ///   - rate: 0 for none, as in evaluation.
  ///   - key: drawn for the step.
  ///   - part: the pass's number in its step.
  public init(rate: Float, key: UInt64 = 0, part: Int = 0) {
    self.rate = rate
    self.key = key
    stream = UInt64(part) << 32
  }

  /// The draws of the next place.
  public mutating func next() -> DropoutDraws {
    stream += 1
    return DropoutDraws(rate: rate, key: key, stream: stream)
  }

  /// Dropout at the next place.
  public mutating func callAsFunction(_ x: Variable, _ tape: Tape) throws -> Variable {
    let draws = next()
    return try tape.dropout(x, rate: rate, key: key, stream: draws.stream)
  }
}

/// Makes parameters of a folder's tensors, and remembers where each went.
struct TrainableLoader {
  let source: EncoderSource
  let backend: any TrainingBackend
  var rateFactor: Float = 1
  var parameters: [Parameter] = []
  var stored: [TrainableBert.Stored] = []

  init(source: EncoderSource, backend: any TrainingBackend) {
    self.source = source
    self.backend = backend
  }

  static func power(_ base: Float, _ exponent: Int) -> Float {
    Float(Basics.power(Double(base), Double(exponent)))
  }

  /// Matrices stacked along their rows, `rows` each.
  mutating func matrix(_ names: [String], rows: Int, width: Int) throws -> Parameter {
    try parameter(names, part: [rows, width], whole: [rows * names.count, width])
  }

  mutating func linear(_ names: [String], out: Int, in width: Int) throws -> TrainableBert.Linear {
    TrainableBert.Linear(
      weight: try matrix(names.map { $0 + ".weight" }, rows: out, width: width),
      bias: try parameter(names.map { $0 + ".bias" }, part: [out], whole: [out * names.count]))
  }

  /// Older files call a norm's weight and bias `gamma` and `beta`.
  mutating func norm(_ name: String, _ width: Int) throws -> TrainableBert.Linear {
    let isOld = source.hasTensor(name + ".gamma")
    return TrainableBert.Linear(
      weight: try parameter(
        [name + (isOld ? ".gamma" : ".weight")], part: [width], whole: [width], as: [name + ".weight"]),
      bias: try parameter(
        [name + (isOld ? ".beta" : ".bias")], part: [width], whole: [width], as: [name + ".bias"]))
  }

  private mutating func parameter(
    _ names: [String], part: Shape, whole: Shape, as written: [String]? = nil
  ) throws -> Parameter {
    let sources = try names.map { name in
      let weight = try source.tensor(name).weight(part, field: name)
      return WeightSource(
        name: weight.name, dtype: weight.dtype, shape: [part.count], file: weight.file, bytes: weight.bytes,
        release: weight.release)
    }
    let flat = try backend.loadVector(sources)
    let value = Tensor(shape: whole, dtype: .f32, buffer: flat.buffer, offset: flat.offset)
    let written = written ?? names
    let parameter = try Parameter(
      written.joined(separator: "+"), value, decays: whole.rank > 1, rateFactor: rateFactor, on: backend)
    parameters.append(parameter)
    let rows = part[0]
    for (index, name) in written.enumerated() {
      stored.append(
        TrainableBert.Stored(
          name: name, parameter: parameter, rows: index * rows..<(index + 1) * rows, shape: part))
    }
    return parameter
  }
}
