import ArgumentParser
import Basics
import Distillation
import ModelFormats
import Tensors

extension StudentKind: ExpressibleByArgument {}

/// What training's products round their operands to; sums and weights are Float32.
enum TrainingPrecision: String, ExpressibleByArgument, CaseIterable {
  case bf16, f32

  var dtype: DType { self == .bf16 ? .bf16 : .f32 }
}

extension RunOptions {
  /// - Throws: as ``makeBackend()``; `unsupported` for a backend that cannot train.
  func makeTrainingBackend() throws -> any TrainingBackend {
    let backend = try makeBackend()
    guard let training = backend as? any TrainingBackend else {
      throw RetortError(
        .unsupported, "training on \(backend.device.backend)", field: "backend", remedy: "Use --backend cpu.")
    }
    return training
  }
}
