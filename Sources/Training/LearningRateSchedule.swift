import Basics

/// What the learning rate is multiplied by at each step: a straight rise, then a fall.
public struct LearningRateSchedule: Sendable, Hashable {
  /// How the rate goes on after the warm-up.
  public enum Shape: String, Sendable, CaseIterable, Codable {
    /// In a straight line towards 0.
    case linear
    /// Along half a wave towards 0 (Loshchilov and Hutter, 2017, without restarts).
    case cosine
    case constant
  }

  public let shape: Shape
  public let totalSteps: Int
  public let warmUpSteps: Int

  /// - Parameter warmUp: the share of the steps, from 0 to 1, in which the rate rises; above 0 it is at least one step.
  public init(_ shape: Shape, totalSteps: Int, warmUp: Double) {
    self.shape = shape
    self.totalSteps = max(totalSteps, 0)
    let share = min(max(warmUp, 0), 1)
    let rounded = Int((Double(self.totalSteps) * share + 0.5).rounded(.down))
    warmUpSteps = share > 0 ? max(rounded, 1) : 0
  }

  /// The factor of a step, counted from 1; no step up to ``totalSteps`` has a factor of 0.
  public func factor(step: Int) -> Double {
    let step = min(max(step, 1), max(totalSteps, 1))
    if step <= warmUpSteps { return Double(step) / Double(warmUpSteps) }
    let fall = Double(totalSteps - warmUpSteps + 1)
    switch shape {
    case .linear: return Double(totalSteps - step + 1) / fall
    case .cosine:
      return (1 + Basics.sineAndCosine(.pi * Double(step - warmUpSteps) / fall).cosine) / 2
    case .constant: return 1
    }
  }
}
