program heat
  implicit none
  integer, parameter :: n = 100
  real(kind=8), dimension(n) :: t, t_new
  real(kind=8) :: alpha
  integer :: i, step

  alpha = 0.25d0
  t = 0.0d0
  t(n/2) = 100.0d0

  do step = 1, 1000
     do i = 2, n - 1
        t_new(i) = t(i) + alpha * (t(i+1) - 2.0d0*t(i) + t(i-1))
     end do
     t(2:n-1) = t_new(2:n-1)
     if (mod(step, 100) == 0) then
        write(*, '(A, I5, F10.4)') 'step ', step, maxval(t)
     end if
  end do

contains

  subroutine report(value)
    real(kind=8), intent(in) :: value
    print *, value
  end subroutine report

end program heat
