import Basics

/// A value on a tape, and where the loss's gradient with respect to it gathers.
public final class Variable {
  public let value: Tensor
  /// Whether anything that is trained lies behind it.
  public let needsGradient: Bool
  /// A parameter's gradient, which operations add to in place.
  let sum: Tensor?
  /// The gradient so far; set while ``Tape/backward(_:)`` runs.
  public internal(set) var gradient: Tensor?
  /// Whether the gradient's tensor is no other variable's.
  var ownsGradient = false

  init(_ value: Tensor, needsGradient: Bool, sum: Tensor? = nil) {
    self.value = value
    self.needsGradient = needsGradient
    self.sum = sum
  }

  public var rows: Int { value.rows }
  public var width: Int { value.width }
}

/// A trained tensor with its gradient, which lives from step to step.
public final class Parameter: Sendable {
  public let name: String
  public let value: Tensor
  /// Added to by every backward pass until it is cleared.
  public let gradient: Tensor
  /// Whether weight decay shrinks it: matrices and tables, never norms and biases.
  public let decays: Bool
  /// What its learning rate is multiplied by.
  public let rateFactor: Float

  /// Allocates a cleared gradient beside `value`.
  ///
  /// - Throws: what the backend throws.
  public init(
    _ name: String, _ value: Tensor, decays: Bool, rateFactor: Float = 1, on backend: any TrainingBackend
  ) throws {
    self.name = name
    self.value = value
    self.decays = decays
    self.rateFactor = rateFactor
    gradient = try backend.allocate(value.shape, .f32)
    try backend.zero(gradient)
  }
}
