import Basics
import Tensors

extension DeviceCheck {
  /// Gradients of operations.
  static var gradients: [CheckCase] {
    func gradient(
      _ name: String, _ run: @escaping @Sendable (any TrainingBackend, Tensor, Tensor) throws -> [Tensor]
    ) -> [CheckCase] {
      [37, 384, 1027].map { width in
        CheckCase(operation: name, detail: "70 × \(width)", tolerance: CheckCase.fine) { backend in
          let (g, x) = (try backend.noise(1, [70, width]), try backend.noise(2, [70, width]))
          return try run(backend, g, x).map(backend.checked)
        }
      }
    }
    return gradient(RowGradient<LayerNorm>.name) { backend, g, x in
      let sums = try (0..<2).map { _ in try backend.zeros([x.width]) }
      let dx = try backend.layerNormGradient(
        g, x: x, weight: backend.noise(3, [x.width]), epsilon: 1e-5, weightSum: sums[0], biasSum: sums[1])
      return [dx] + sums
    }
      + gradient(RowGradient<RMSNorm>.name) { backend, g, x in
        let sum = try backend.zeros([x.width])
        let dx = try backend.rmsNormGradient(
          g, x: x, weight: backend.noise(3, [x.width]), epsilon: 1e-5, weightSum: sum)
        return [dx, sum]
      }
      + gradient(RowGradient<GELU>.name) { backend, g, x in
        try GELU.Form.allCases.map { try backend.geluGradient(g, x: x, $0) }
      }
      + gradient(RowGradient<ResidualNorm>.name) { backend, g, x in
        let draws = DropoutDraws(rate: 0.1, key: 5, stream: 6)
        let vectors = try (0..<2).map { try backend.noise(3 + $0, [x.width]) }
        let sums = try (0..<4).map { _ in try backend.zeros([x.width]) }
        let forward = try backend.residualNorm(
          x, residual: backend.noise(7, x.shape), weight: vectors[0], bias: vectors[1], epsilon: 1e-5, draws)
        let gradients = try backend.residualNormGradient(
          g, sum: forward.sum, weight: vectors[0], epsilon: 1e-5, draws, weightSum: sums[0], biasSum: sums[1],
          columnSum: sums[2])
        let inner = try backend.geluGradient(g, x: x, .exact, columnSum: sums[3])
        return [forward.sum, forward.y, gradients.residual, gradients.x, inner] + sums
      }
      + gradient(RowGradient<SiLUMul>.name) { backend, g, x in
        let result = try backend.siluMulGradient(g, gate: x, up: backend.noise(5, x.shape))
        return [result.gate, result.up]
      }
      + gradient(RowGradient<Tanh>.name) { [try $0.tanhGradient($1, y: $2)] }
      + gradient(RowGradient<Softmax>.name) { [try $0.softmaxGradient($1, y: $0.softmax($2))] }
      + gradient(RowGradient<L2Normalize>.name) { [try $0.l2NormalizeGradient($1, x: $2, epsilon: 1e-12)] }
      + gradient(ColumnSums.name) { backend, g, _ in
        let sum = try backend.zeros([g.width])
        try backend.addColumnSums(g, to: sum)
        return [sum]
      } + attentionGradients
  }

  private static var attentionGradients: [CheckCase] {
    [(DType.f32, false), (.f32, true), (.bf16, false), (.bf16, true)].map { precision, causal in
      CheckCase(
        operation: EncoderAttentionGradient.name, detail: "\(precision.rawValue)\(causal ? ", causal" : "")",
        tolerance: precision == .f32 ? CheckCase.fine : 2 * CheckCase.coarse
      ) { backend in
        let batch = try backend.prepare(packed())
        let (heads, scale) = (4, Float(0.3))
        let (query, key, value) = (
          try backend.noise(1, [packedRows, 256]), try backend.noise(2, [packedRows, 128]),
          try backend.noise(3, [packedRows, 128])
        )
        let forward = try backend.encoderAttention(
          query: query, key: key, value: value, heads: heads, scale: scale, causal: causal,
          precision: precision, wantsLogSumExp: true, batch)
        let logSumExp = try forward.requireLogSumExp()
        let gradient = try backend.encoderAttentionGradient(
          backend.noise(4, [packedRows, 256]), query: query, key: key, value: value, output: forward.output,
          logSumExp: logSumExp, heads: heads, scale: scale, causal: causal, precision: precision, batch)
        return [try backend.checked(gradient)]
      }
    }
  }

  /// Losses, the optimiser and what else only training needs.
  static var training: [CheckCase] {
    func item(
      _ name: String, _ detail: String, _ run: @escaping @Sendable (any TrainingBackend) throws -> [Tensor]
    ) -> CheckCase {
      CheckCase(operation: name, detail: detail, tolerance: CheckCase.fine) { backend in
        try run(backend).map(backend.checked)
      }
    }
    return [
      item(SoftmaxDivergence.name, "70 × 3") { backend in
        let targets = try backend.softmax(backend.noise(2, [70, 3]))
        let loss = try backend.softmaxDivergence(
          backend.noise(1, [70, 3]), targets: targets, weights: backend.upload(positive(3, 70), shape: [70]),
          temperature: 2)
        return [loss.losses, loss.gradient]
      },
      item(SigmoidCrossEntropy.name, "70 × 5") { backend in
        let loss = try backend.sigmoidCrossEntropy(
          backend.noise(1, [70, 5]), targets: backend.upload(positive(2, 350), shape: [70, 5]),
          weights: backend.upload(positive(3, 350), shape: [70, 5]))
        return [loss.losses, loss.gradient]
      },
      item(OrdinalLogits.name, "70 × 3") { backend in
        let parameters = try backend.upload([1.2, -0.3, 0.1], shape: [3])
        return [try backend.ordinalLogits(backend.noise(1, [70, 1]), parameters: parameters)]
      },
      item(AdamW.name, "three steps of 10007 numbers") { backend in
        let tensors = try [1, 2].map { try backend.noise($0, [10_007]) }
        let moments = try (0..<2).map { _ in try backend.zeros([10_007]) }
        for step in 1...3 {
          try backend.adamW(
            tensors[0], gradient: tensors[1], firstMoment: moments[0], secondMoment: moments[1],
            AdamWStep(learningRate: 1e-3, weightDecay: 0.01, step: step))
        }
        return [tensors[0]] + moments
      },
      item(Dropout.name, "70 × 333") { backend in
        [try backend.dropout(backend.noise(1, [70, 333]), rate: 0.2, key: 5, stream: 6)]
      },
      item(Scale.name, "70 × 333") { [try $0.scale($0.noise(1, [70, 333]), by: 0.37)] },
      item(RowDots.name, "10 groups") {
        [try $0.rowDots($0.noise(1, [70, 330]), $0.noise(2, [70, 330]), groups: 10)]
      },
      item(ScaleGroups.name, "10 groups") {
        [try $0.scaleGroups($0.noise(1, [70, 330]), by: $0.noise(2, [70, 10]))]
      },
      item(ScaleColumns.name, "70 × 33") {
        [try $0.scaleColumns($0.noise(1, [70, 33]), by: $0.noise(2, [33]), bias: $0.noise(3, [33]))]
      },
      item(ScatterAddRows.name, "with repeated rows") { backend in
        let sum = try backend.noise(2, [9, 65])
        try backend.scatterAddRows(backend.noise(1, [70, 65]), CheckNoise.ids(4, 70, below: 9), to: sum)
        return [sum]
      },
      item(MeanPoolGradient.name, "5 sequences") { backend in
        [try backend.meanPoolGradient(backend.noise(1, [5, 65]), backend.prepare(packed()))]
      },
      CheckCase(operation: "sum_of_squares", detail: "two tensors", tolerance: CheckCase.fine) { backend in
        let sum = try backend.sumOfSquares([backend.noise(1, [70, 333]), backend.noise(2, [10_007])])
        return [CheckedRows(values: [Float(sum)], width: 1)]
      },
    ]
  }

  /// Numbers from 0 to 1.
  private static func positive(_ seed: UInt64, _ count: Int) -> [Float] {
    CheckNoise.floats(seed, count).map { ($0 + 1) / 2 }
  }
}
