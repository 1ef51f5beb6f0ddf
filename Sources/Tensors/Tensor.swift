import Basics

/// Memory that a backend owns; it goes back to the backend's pool with the last reference.
public protocol DeviceBuffer: AnyObject, Sendable {
  var byteCount: Int { get }
}

/// A view of a backend's memory: rows of `shape[1]` elements, `rowStride` elements apart.
///
/// Tensors are rank 1 (`[width]`) or rank 2 (`[rows, width]`); elements of a row are contiguous.
public struct Tensor: Sendable {
  public let shape: Shape
  public let dtype: DType
  public let buffer: any DeviceBuffer
  /// Elements from the start of the buffer to the first element.
  public let offset: Int
  /// Elements between the starts of two rows.
  public let rowStride: Int

  public init(shape: Shape, dtype: DType, buffer: any DeviceBuffer, offset: Int = 0, rowStride: Int? = nil) {
    self.shape = shape
    self.dtype = dtype
    self.buffer = buffer
    self.offset = offset
    self.rowStride = rowStride ?? (shape.rank > 0 ? shape[shape.rank - 1] : 1)
  }

  /// Rows of a rank-2 tensor; 1 for rank 1.
  public var rows: Int { shape.rank == 2 ? shape[0] : 1 }
  /// Elements in a row.
  public var width: Int { shape.rank == 0 ? 1 : shape[shape.rank - 1] }

  /// The columns `range` of every row, without a copy.
  ///
  /// - Throws: `shapeMismatch` where the range leaves the row.
  public func columns(_ range: Range<Int>) throws -> Tensor {
    guard range.lowerBound >= 0, range.upperBound <= width else {
      throw RetortError(
        .shapeMismatch, "columns \(range) of a tensor of shape \(shape)",
        remedy: "Ask for columns within the row.")
    }
    let extents = shape.rank == 2 ? [rows, range.count] : [range.count]
    return Tensor(
      shape: Shape(extents), dtype: dtype, buffer: buffer, offset: offset + range.lowerBound,
      rowStride: rowStride)
  }

  /// The rows `range`, without a copy.
  ///
  /// - Throws: `shapeMismatch` where the range leaves the tensor.
  public func rows(_ range: Range<Int>) throws -> Tensor {
    guard range.lowerBound >= 0, range.upperBound <= rows else {
      throw RetortError(
        .shapeMismatch, "rows \(range) of a tensor of shape \(shape)",
        remedy: "Ask for rows within the tensor.")
    }
    return Tensor(
      shape: [range.count, width], dtype: dtype, buffer: buffer,
      offset: offset + range.lowerBound * rowStride, rowStride: rowStride)
  }
}
