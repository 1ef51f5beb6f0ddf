import Basics
import ModelFormats
import Tensors

/// An encoder with a pooler and a linear layer on its first row, as transformers' `BertForSequenceClassification`
/// has them.
public final class SequenceClassifier: Sendable {
  public let encoder: any EncoderModel
  /// Names of the outputs.
  public let labels: [String]
  private let pooler: Linear
  private let classifier: Linear

  init(_ encoder: any EncoderModel, _ loader: EncoderLoader, labels: ClassifierLabels) throws {
    self.encoder = encoder
    self.labels = labels.names
    let width = loader.configuration.hiddenSize
    // One row a sequence passes these: their cost is nothing, so they stay accurate.
    func linear(_ weight: StoredTensor, _ bias: StoredTensor, out: Int) throws -> Linear {
      Linear(
        weight: try loader.backend.loadMatrix(
          [weight.weight([out, width], field: weight.name)], compute: .f32),
        bias: try loader.backend.loadVector([bias.weight([out], field: bias.name)]))
    }
    let source = loader.source
    pooler = try linear(
      source.tensor("pooler.dense.weight"), source.tensor("pooler.dense.bias"), out: width)
    classifier = try linear(
      source.headTensor("classifier.weight"), source.headTensor("classifier.bias"), out: labels.names.count)
  }

  /// One logit a label for every sequence: `[sequences, labels]`.
  ///
  /// - Throws: as the encoder.
  public func logits(_ batch: any PreparedPackedBatch, on backend: any Backend) throws -> Tensor {
    let first = try encoder.forwardFirstRows(batch, on: backend)
    return try classifier(backend.tanh(pooler(first, backend)), backend)
  }
}
