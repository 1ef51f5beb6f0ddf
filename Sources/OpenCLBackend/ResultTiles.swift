/// Launch shapes in which a group of items makes a tile of a matrix product's result.
protocol ResultTiles {
  var rows: Int { get }
  var columns: Int { get }
}

extension ResultTiles {
  /// Groups that a result takes, along its columns and along its rows.
  func groups(rows: Int, columns: Int) -> (across: Int, down: Int) {
    ((columns + self.columns - 1) / self.columns, (rows + self.rows - 1) / self.rows)
  }
}
