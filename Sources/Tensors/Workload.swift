import Basics

/// What a backend is used for, as far as the bits of its results depend on that.
public enum Workload: Sendable, Equatable {
  /// A decoder's steps.
  case generation
  /// A student's steps, forward and backward, with products in this type.
  case training(DType)
}
