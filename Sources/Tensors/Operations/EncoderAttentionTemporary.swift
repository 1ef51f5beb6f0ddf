import Basics

extension Tape {
  /// Attention within each sequence of a packed batch over a joint `[rows, (heads + 2 · keyHeads) · headDim]` of
  /// queries, keys and values: `[rows, heads · headDim]`.
  public func encoderAttention(
    _ joint: Variable, heads: Int, keyHeads: Int, scale: Float, causal: Bool,
    _ batch: any PreparedPackedBatch
  ) throws -> Variable {
    guard heads > 0, keyHeads > 0, joint.width % (heads + 2 * keyHeads) == 0 else {
      throw RetortError(
        .shapeMismatch, "encoder_attention: a width of \(joint.width) for \(heads) and \(keyHeads) heads",
        remedy: "Give queries, keys and values side by side.")
    }
    let headDim = joint.width / (heads + 2 * keyHeads)
    let (first, second) = (heads * headDim, (heads + keyHeads) * headDim)
    let query = try joint.value.columns(0..<first)
    let key = try joint.value.columns(first..<second)
    let value = try joint.value.columns(second..<joint.width)
    let forward = try backend.encoderAttention(
      query: query, key: key, value: value, heads: heads, scale: scale, precision: precision,
      wantsLogSumExp: true, batch)
    return record(forward.output, from: [joint]) { [self] g in
      guard let logSumExp = forward.logSumExp else { return }
      let gradient = try backend.encoderAttentionGradient(
        g, query: query, key: key, value: value, output: forward.output, logSumExp: logSumExp, heads: heads,
        scale: scale, causal: causal, precision: precision, batch)
      try add(gradient, to: joint)
    }
  }
}
