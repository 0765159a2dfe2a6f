#include <algorithm>
#include <iostream>
#include <memory>
#include <stdexcept>
#include <vector>

namespace linear {

template <typename T>
class Matrix {
public:
    Matrix(std::size_t rows, std::size_t columns) : rows_(rows), columns_(columns), data_(rows * columns) {}

    T &operator()(std::size_t row, std::size_t column) { return data_.at(row * columns_ + column); }
    const T &operator()(std::size_t row, std::size_t column) const { return data_.at(row * columns_ + column); }

    Matrix operator*(const Matrix &other) const {
        if (columns_ != other.rows_) throw std::invalid_argument("shapes do not fit");
        Matrix result(rows_, other.columns_);
        for (std::size_t i = 0; i < rows_; ++i)
            for (std::size_t j = 0; j < other.columns_; ++j)
                for (std::size_t k = 0; k < columns_; ++k) result(i, j) += (*this)(i, k) * other(k, j);
        return result;
    }

private:
    std::size_t rows_, columns_;
    std::vector<T> data_;
};

}  // namespace linear

int main() {
    auto a = std::make_unique<linear::Matrix<double>>(2, 2);
    (*a)(0, 0) = 1.5;
    std::cout << ((*a) * (*a))(0, 0) << std::endl;
}
