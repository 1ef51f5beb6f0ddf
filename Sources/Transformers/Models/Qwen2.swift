import ModelFormats
import Tensors

/// Qwen2 and Qwen2.5 (Yang et al., 2024): llama's shape with biases on query, key and value.
enum Qwen2 {
  static func load(_ loader: DecoderLoader, progress: (@Sendable (Double) -> Void)?) throws
    -> any DecoderModel
  {
    try loader.decoder(attentionBias: true, progress: progress)
  }
}
