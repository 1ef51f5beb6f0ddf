import Basics
import Tensors

extension DeviceCheck {
  /// Operations on rows, each on narrow, odd and wide ones.
  static var rows: [CheckCase] {
    let plain: [(String, @Sendable (any TrainingBackend, Tensor) throws -> Tensor)] = [
      (RMSNorm.name, { try $0.rmsNorm($1, weight: $0.noise(2, [$1.width]), epsilon: 1e-5) }),
      (
        LayerNorm.name,
        {
          try $0.layerNorm(
            $1, weight: $0.noise(2, [$1.width]), bias: $0.noise(3, [$1.width]), epsilon: 1e-5)
        }
      ),
      (Softmax.name, { try $0.softmax($1) }),
      (SiLUMul.name, { try $0.siluMul(gate: $1, up: $0.noise(4, $1.shape)) }),
      (GELU.name, { try $0.gelu($1, .exact) }), (GELU.name, { try $0.gelu($1, .tanh) }),
      (Tanh.name, { try $0.tanh($1) }), (Add.name, { try $0.add($1, $0.noise(4, $1.shape)) }),
      (L2Normalize.name, { try $0.l2Normalize($1, epsilon: 1e-12) }),
      (GatherRows.name, { try $0.gatherRows($1, [2, 0, 2]) }),
    ]
    let sized = plain.flatMap { name, run in
      [1, 37, 576, 4099].map { width in
        CheckCase(operation: name, detail: "3 × \(width)", tolerance: CheckCase.fine) { backend in
          [try backend.checked(run(backend, backend.noise(UInt64(width), [3, width])))]
        }
      }
    }
    // Columns in the middle of wider rows, as layers pass them on.
    let views = plain.map { name, run in
      CheckCase(operation: name, detail: "3 × 333 of wider rows", tolerance: CheckCase.fine) { backend in
        [try backend.checked(run(backend, backend.noise(6, [3, 400]).columns(5..<338)))]
      }
    }
    let norms = plain.prefix(3).map { name, run in
      invariance(name, "576 columns", rows: 130) { backend, rows in
        try run(backend, backend.noise(8, [130, 576]).rows(rows))
      }
    }
    return sized + views + norms + rotations
  }

  private static var rotations: [CheckCase] {
    [RoPE.Pairing.neighbours, .halves].map { pairing in
      CheckCase(
        operation: RotaryEmbedding.name, detail: "\(pairing.rawValue), positions up to 4000",
        tolerance: CheckCase.fine
      ) { backend in
        let slices = [0, 1, 77, 4000].enumerated().map { row, position in
          SequenceSlice(
            rowStart: row, rowCount: 1, contextLength: position + 1,
            blockTable: [Int32](repeating: 0, count: position / 16 + 1))
        }
        let spec = RoPE(headDim: 64, rotaryDim: 64, base: 10_000, pairing: pairing)
        let batch = try backend.prepare(PagedStep.batch(slices))
        return [try backend.checked(backend.rope(backend.noise(1, [4, 192]), spec, batch))]
      }
    }
  }

  /// Rows of stored tables.
  static var lookUps: [CheckCase] {
    [DType.f32, .f16, .bf16, .q4_0, .q4_1, .q5_0, .q5_1, .q8_0, .q4_K, .q5_K, .q6_K].map { dtype in
      CheckCase(operation: Embedding.name, detail: dtype.rawValue, tolerance: CheckCase.fine) { backend in
        let table = try backend.loadTable(
          .random("check", [300, 512], dtype, RandomWeights(seed: 3, deviation: 1)))
        let ids: [Int32] = [299, 0, 7, 7]
        let slices = ids.indices.map {
          SequenceSlice(rowStart: $0, rowCount: 1, contextLength: 1, blockTable: [0])
        }
        let batch = try BatchMetadata(tokenIDs: ids, sequences: slices, blockSize: 16)
        return [try backend.checked(backend.embedding(table, backend.prepare(batch)))]
      }
    }
  }

  /// What is read back of logits.
  static var choices: [CheckCase] {
    let vocabulary = 50_257
    let mask = AllowedTokens(words: (0..<UInt32(vocabulary / 32 + 1)).map { $0 % 3 == 0 ? 0xffff_0000 : 0 })
    let read = CheckCase(
      operation: LogProbabilities.name, detail: "\(vocabulary) ids, highest, chosen, penalised, masked",
      tolerance: CheckCase.fine
    ) { backend in
      let logits = try backend.scale(backend.noise(1, [3, vocabulary]), by: 9)
      let requests = [
        LogProbabilityRequest(temperature: 0.7, topCount: 8, chosen: [0, 5, 50_000]),
        LogProbabilityRequest(topCount: 5, penalized: [3, 4, 9000], repetitionPenalty: 1.3),
        LogProbabilityRequest(topCount: 5, chosen: [16], allowed: mask),
      ]
      return try backend.logProbabilities(logits, requests).flatMap { row in
        [
          CheckedRows(values: row.topIDs.map(Float.init), width: 1, isExact: true),
          CheckedRows(values: row.topLogits, width: 1),
          CheckedRows(values: [row.logSumExp, row.logSumExpAtTemperature], width: 1),
          CheckedRows(values: row.chosenLogProbabilities, width: 1),
        ]
      }
    }
    let drawn = CheckCase(
      operation: "gumbel_argmax", detail: "\(vocabulary) ids, with and without a mask", tolerance: 0
    ) { backend in
      let logits = try backend.scale(backend.noise(2, [4, vocabulary]), by: 5)
      let ids = try backend.gumbelArgmax(
        logits, temperatures: [1, 0.5, 1, 2], keys: [1, 2, 3, 4], positions: [0, 9, 1 << 40, 3],
        allowed: [nil, nil, mask, mask])
      return [CheckedRows(values: ids.map(Float.init), width: 1, isExact: true)]
    }
    return [read, drawn]
  }
}
