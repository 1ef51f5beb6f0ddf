import ModelFormats
import Tensors

/// Llama (Touvron et al., 2023) and models of its shape, such as SmolLM2.
enum Llama {
  static func load(_ loader: DecoderLoader, progress: (@Sendable (Double) -> Void)?) throws
    -> any DecoderModel
  {
    try loader.decoder(attentionBias: loader.configuration.attentionBias, progress: progress)
  }
}
