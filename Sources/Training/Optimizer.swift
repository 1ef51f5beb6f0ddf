import Basics
import Tensors

/// AdamW with decoupled weight decay (Loshchilov and Hutter, 2019) over parameters whose gradients are clipped
/// together.
public final class Optimizer {
  /// The numbers of a run; the defaults are those of docs/method.md, Recipe.
  public struct Settings: Sendable, Hashable {
    /// Multiplied by the schedule's factor and each parameter's own.
    public var learningRate = 5e-5
    /// For parameters that decay.
    public var weightDecay = 0.01
    public var beta1 = 0.9
    public var beta2 = 0.999
    public var epsilon = 1e-8
    /// The largest norm over all gradients together; nil clips nothing.
    public var largestNorm: Double? = 1

    public init() {}
  }

  public let parameters: [Parameter]
  public let settings: Settings
  /// Steps taken.
  public internal(set) var step = 0
  let firstMoments: [Tensor]
  let secondMoments: [Tensor]
  let backend: any TrainingBackend

  /// Begins at step 0 with cleared moments and gradients.
  ///
  /// - Throws: what the backend throws.
  public init(_ parameters: [Parameter], _ settings: Settings, on backend: any TrainingBackend) throws {
    func cleared(_ parameter: Parameter) throws -> Tensor {
      let tensor = try backend.allocate(parameter.value.shape, .f32)
      try backend.zero(tensor)
      return tensor
    }
    self.parameters = parameters
    self.settings = settings
    self.backend = backend
    firstMoments = try parameters.map(cleared)
    secondMoments = try parameters.map(cleared)
    try clearGradients()
  }

  /// Updates all parameters from their gradients and clears these; returns the norm of the gradients before clipping.
  ///
  /// - Parameter rateFactor: the schedule's factor for this step.
  /// - Throws: `diverged`, naming a parameter, where a gradient is not finite: nothing is updated then.
  @discardableResult
  public func update(rateFactor: Double) throws -> Double {
    let norm = try backend.sumOfSquares(parameters.map(\.gradient)).squareRoot()
    guard norm.isFinite else { throw try divergence() }
    // PyTorch's clip_grad_norm_ has the same small number in the denominator.
    let scale = settings.largestNorm.map { min(1, $0 / (norm + 1e-6)) } ?? 1
    step += 1
    for (place, parameter) in parameters.enumerated() {
      let numbers = AdamWStep(
        learningRate: Float(settings.learningRate * rateFactor * Double(parameter.rateFactor)),
        beta1: Float(settings.beta1), beta2: Float(settings.beta2), epsilon: Float(settings.epsilon),
        weightDecay: parameter.decays ? Float(settings.weightDecay) : 0, step: step,
        gradientScale: Float(scale))
      try backend.adamWClearing(
        parameter.value, gradient: parameter.gradient, firstMoment: firstMoments[place],
        secondMoment: secondMoments[place], numbers)
    }
    return norm
  }

  private func clearGradients() throws {
    for parameter in parameters { try backend.zero(parameter.gradient) }
  }

  private func divergence() throws -> RetortError {
    let culprit = try parameters.first { try !backend.sumOfSquares([$0.gradient]).isFinite }
    return RetortError(
      .diverged, "a gradient is not a finite number", field: culprit?.name, position: "step \(step + 1)",
      remedy: Optimizer.divergenceRemedy)
  }

  static let divergenceRemedy =
    "Use a lower learning rate or a longer warm-up, and look for strange rows in the training data."
}
