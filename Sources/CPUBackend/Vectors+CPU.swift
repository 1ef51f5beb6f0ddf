import Basics
import CKernels
import Tensors

/// A table read row by row from the file's own bytes.
final class CPUTable: EmbeddingTable, Sendable {
  let checked: CheckedSource
  var rows: Int { checked.rows }
  var width: Int { checked.width }

  init(_ checked: CheckedSource) { self.checked = checked }
}

extension CPUBackend {
  public func loadVector(_ parts: [WeightSource]) throws -> Tensor {
    let checked = try parts.map(CheckedSource.init)
    let width = checked.reduce(0) { $0 + $1.rows * $1.width }
    let tensor = try allocate([width], .f32)
    var out = try floats(tensor)
    for part in checked {
      for row in 0..<part.rows {
        rk_dequantize(part.type, part.row(row), out, part.width)
        out += part.width
      }
    }
    return tensor
  }

  public func loadTable(_ source: WeightSource) throws -> any EmbeddingTable {
    CPUTable(try CheckedSource(source))
  }

  public func embedding(_ table: any EmbeddingTable, _ batch: any PreparedBatch) throws -> Tensor {
    guard let table = table as? CPUTable else { throw CPUBackend.foreign("a table") }
    let ids = batch.metadata.tokenIDs
    let operation = try Embedding(table: table, ids: ids)
    let y = try allocate(operation.outputShape, .f32)
    let out = try floats(y)
    measured(operation) {
      pool.forRanges(ids.count, minimum: 4) { range in
        for row in range {
          rk_dequantize(
            table.checked.type, table.checked.row(Int(ids[row])), out + row * table.width, table.width)
        }
      }
    }
    return y
  }
}
