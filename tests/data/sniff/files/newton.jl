module Newton

using LinearAlgebra
using Printf

export newton

"""
    newton(f, df, x0; tol=1e-10)

Finds a root of `f` near `x0`.
"""
function newton(f::Function, df::Function, x0::T; tol=1e-10, maxiter::Int=100) where {T<:Real}
    x = float(x0)
    for i in 1:maxiter
        step = f(x) / df(x)
        x -= step
        @printf("%3d %.12f\n", i, x)
        abs(step) < tol && return x
    end
    error("no convergence after $maxiter steps")
end

struct Point{T}
    x::T
    y::T
end

Base.:+(a::Point, b::Point) = Point(a.x + b.x, a.y + b.y)

end # module

using .Newton
println(newton(x -> x^2 - 2, x -> 2x, 1.0))
