import Basics
import ModelFormats
import Tensors

/// Where a decoder's weights come from, by their GGUF names.
protocol WeightStore: Sendable {
  func hasTensor(_ name: String) -> Bool
  /// The tensor as a backend takes it, its shape checked.
  func weight(_ name: String, _ shape: Shape) throws -> WeightSource
}

extension ModelSource: WeightStore {
  func weight(_ name: String, _ shape: Shape) throws -> WeightSource {
    try tensor(name).weight(shape, field: name)
  }
}

/// Weights drawn for a model's shape; no file is behind them.
///
/// Matrices have the deviation 1 / √K of their input width K and norms lie about 1, so that activations neither
/// vanish nor grow beyond what a trained model has; every tensor has a seed of its own.
struct RandomWeightStore: WeightStore {
  let tiesOutput: Bool
  /// The type of all matrices and of the embedding table; norms and biases are Float32, as GGUF files have them.
  let dtype: DType

  func hasTensor(_ name: String) -> Bool { !(tiesOutput && name == "output.weight") }

  func weight(_ name: String, _ shape: Shape) throws -> WeightSource {
    // FNV-1a, so that a name gives the same weights in every run.
    let seed = name.utf8.reduce(0xcbf2_9ce4_8422_2325 as UInt64) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }
    guard shape.rank == 2 else {
      let isNorm = name.hasSuffix("norm.weight")
      return try .random(
        name, shape, .f32, RandomWeights(seed: seed, deviation: 0.05, mean: isNorm ? 1 : 0))
    }
    let deviation = 1 / Float(shape[1]).squareRoot()
    return try .random(name, shape, dtype, RandomWeights(seed: seed, deviation: deviation))
  }
}
