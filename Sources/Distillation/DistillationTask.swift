import Basics
import Relevance
import Tensors
import Training

/// A student's training as the trainer sees it.
public final class DistillationTask: TrainingTask {
  public let parameters: [Parameter]
  public let watchedMetric: WatchedMetric?
  private let trainer: StudentTrainer
  private let rows: [TrainingRow]
  private let heldOut: HeldOutPairs?

  public var rowCount: Int { rows.count }

  /// - Parameter watched: the metric of `heldOut` that names the best weights.
  public init(_ trainer: StudentTrainer, rows: [TrainingRow], heldOut: HeldOutPairs?, watched: Metric) {
    self.trainer = trainer
    self.rows = rows
    self.heldOut = heldOut
    parameters = trainer.student.parameters(trainer.settings)
    watchedMetric =
      heldOut == nil
      ? nil : WatchedMetric(watched.rawValue, higherIsBetter: watched.higherIsBetter)
  }

  public func step(rows places: [Int], _ context: StepContext) throws -> StepLoss {
    let loss = try trainer.step(places.map { rows[$0] }, key: context.dropoutKey)
    return StepLoss(
      loss.value,
      parts: Dictionary(uniqueKeysWithValues: loss.parts.map { ($0.key.rawValue, $0.value) }),
      tokens: loss.tokens)
  }

  public func evaluate() throws -> [String: Double] {
    guard let heldOut else { return [:] }
    let judged = try heldOut.judged(trainer.predict(heldOut.rows), labels: trainer.student.shape.labels)
    let evaluation = Evaluation(judged, bootstrap: try QueryBootstrap(resamples: 0, seed: 0))
    return Dictionary(
      uniqueKeysWithValues: Metric.allCases.map { ($0.rawValue, evaluation[$0].value ?? .nan) })
  }
}

extension HeldOutPairs {
  /// Predictions beside the gold labels.
  func judged(_ predictions: [StudentTrainer.Prediction], labels: LabelSet) throws -> JudgedPairs {
    try JudgedPairs(
      labels: labels, gold: gold,
      predictions: predictions.map {
        Prediction(distribution: try LabelDistribution(labels: labels, probabilities: $0.probabilities))
      })
  }

  /// The predictions as records that `retort eval --predictions` reads.
  func records(_ predictions: [StudentTrainer.Prediction], shape: StudentShape, verdicts: Bool) throws
    -> [ScoreRecord]
  {
    try zip(pairs, predictions).map { pair, prediction in
      ScoreRecord(
        pair, try LabelDistribution(labels: shape.labels, probabilities: prediction.probabilities),
        verdicts: verdicts ? Array(zip(shape.aspects, prediction.verdicts)).map { ($0, $1) } : [],
        cosine: prediction.cosine)
    }
  }
}
